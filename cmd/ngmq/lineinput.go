package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// lineInput reads lines, with editing, history and completion at a terminal, and writes
// what comes meanwhile above the line that is being typed. Any goroutine may write.
type lineInput struct {
	c        *console
	complete func(line string) []string // lines that line may become; nil: none

	fd       int
	state    *term.State // of the terminal before; nil when there is none
	terminal *term.Terminal
	lines    chan string // without a terminal
	failed   error       // of reading lines; set before lines is closed
	mu       sync.Mutex
}

// newLineInput takes the terminal over if there is one; close gives it back.
func newLineInput(c *console) (*lineInput, error) {
	l := &lineInput{c: c}
	in, isFile := c.stdin.(*os.File)
	if !isFile || !isTerminal(c.stdin) || !isTerminal(c.stdout) {
		l.lines = make(chan string)
		go l.scan()
		return l, nil
	}
	l.fd = int(in.Fd())
	var err error
	if l.state, err = term.MakeRaw(l.fd); err != nil {
		return nil, err
	}
	l.terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{c.stdin, c.stdout}, "")
	l.terminal.AutoCompleteCallback = l.key
	context.AfterFunc(c, l.close) // a signal must not leave the terminal raw
	return l, nil
}

// isTerminal says whether somebody types.
func (l *lineInput) isTerminal() bool { return l.terminal != nil }

// scan reads lines from a file or a pipe.
func (l *lineInput) scan() {
	defer close(l.lines)
	s := bufio.NewScanner(l.c.stdin)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		select {
		case l.lines <- s.Text():
		case <-l.c.Done():
			return
		}
	}
	l.failed = s.Err()
}

// typed is a line from the terminal.
type typed struct {
	line string
	err  error
}

// readLine reads a line; io.EOF is the end: of the input, Ctrl-D, Ctrl-C, or a signal.
func (l *lineInput) readLine(prompt string) (string, error) {
	if l.terminal == nil {
		select {
		case line, more := <-l.lines:
			if !more {
				return "", cmp.Or(l.failed, io.EOF)
			}
			return line, nil
		case <-l.c.Done():
			return "", io.EOF
		}
	}
	if width, height, err := term.GetSize(l.fd); err == nil && width > 0 {
		_ = l.terminal.SetSize(width, height) // it fails when the terminal is gone
	}
	l.terminal.SetPrompt(prompt)
	read := make(chan typed, 1)
	go func() {
		line, err := l.terminal.ReadLine()
		read <- typed{line, err}
	}()
	select {
	case t := <-read:
		return t.line, t.err
	case <-l.c.Done(): // the program ends, and the goroutine with it
		return "", io.EOF
	}
}

// Write writes whole lines. Control characters in messages do not reach the terminal.
func (l *lineInput) Write(b []byte) (int, error) {
	if l.terminal != nil {
		_, err := l.terminal.Write(bytes.Map(printable, b))
		return len(b), err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c.stdout.Write(b)
}

func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' {
		return '.'
	}
	return r
}

// close gives the terminal back as it was.
func (l *lineInput) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != nil {
		_ = term.Restore(l.fd, l.state) // nobody could do anything about it
		l.state = nil
	}
}

// key completes at Tab: as far as all lines agree.
func (l *lineInput) key(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' || l.complete == nil || pos != len(line) {
		return "", 0, false
	}
	list := l.complete(line)
	if len(list) == 0 {
		return line, pos, true
	}
	common := list[0]
	for _, other := range list[1:] {
		for !strings.HasPrefix(other, common) {
			common = common[:len(common)-1]
		}
	}
	return common, len(common), true
}
