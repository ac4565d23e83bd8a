package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
)

// shellCommand is the interactive client.
type shellCommand struct {
	printFlags
	connection
}

// shellTimeout bounds every command of the shell that waits for the broker.
const shellTimeout = 30 * time.Second

// Run reads commands until quit, the end of the input or a signal. With --url, -h, -p or
// --unix it connects at once.
func (s *shellCommand) Run(c *console) error {
	if err := s.validate(c); err != nil {
		return err
	}
	if s.printFlags.Format == "" {
		s.printFlags.Verbose = true
	}
	input, err := newLineInput(c)
	if err != nil {
		return err
	}
	defer input.close()
	out := *c
	out.stdout, out.stderr = input, input
	sh := &shell{cmd: s, c: &out, input: input, filters: map[string]byte{}}
	if sh.printer, err = newPrinter(&s.printFlags, &out); err != nil {
		return err
	}
	if s.URL != "" || s.Unix != "" || s.Port != 0 || s.Host != "" {
		sh.failed(sh.connect(nil))
	} else {
		sh.printf("type help for the commands, connect URL to connect")
	}
	input.complete = sh.complete
	sh.loop()
	if sh.failure != nil && !input.isTerminal() {
		return &failed{sh.failure.status, nil} // it has been shown
	}
	return nil
}

// shell is a session at the terminal. Only its loop uses it, but for console and printer,
// which the handlers of the client use too.
type shell struct {
	cmd     *shellCommand
	c       *console
	input   *lineInput
	printer *printer
	conn    *client.Client // nil: never connected, or disconnected
	address string
	filters map[string]byte // subscribed, with the QoS granted
	over    bool
	failure *failed // of the first command that failed
}

// shellCommands in the order of help; name, arguments, meaning.
var shellCommands = [][3]string{
	{"connect", "[URL]", "connect, with the flags of the command line; default: the server of before"},
	{"disconnect", "", "disconnect"},
	{"sub", "FILTER [QOS]", "subscribe and show what comes"},
	{"unsub", "FILTER", "unsubscribe"},
	{"pub", "[-q QOS] [-r] TOPIC [TEXT]", "publish; -r has the broker keep it; without TEXT an empty message"},
	{"format", "[FORMAT]", "show messages like this, see ngmq help sub; without FORMAT: topic and payload"},
	{"status", "", "the connection and the subscriptions"},
	{"help", "", "this list"},
	{"quit", "", "end, as Ctrl-D does"},
}

func (sh *shell) printf(format string, args ...any) {
	fmt.Fprintf(sh.c.stdout, format+"\n", args...)
}

// report shows an error.
func (sh *shell) report(err error) {
	if err != nil {
		sh.printf("error: %v", err)
	}
}

// failed shows the error of a command and keeps the first one.
func (sh *shell) failed(err error) {
	if sh.report(err); err == nil || sh.failure != nil {
		return
	}
	if !errors.As(explain(err), &sh.failure) {
		sh.failure = &failed{exitUsage, err}
	}
}

// loop reads and does commands.
func (sh *shell) loop() {
	defer func() { _ = sh.disconnect(nil) }() // it may be disconnected already
	for !sh.over && sh.c.Err() == nil {
		line, err := sh.input.readLine(sh.prompt())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				sh.failed(err)
			}
			return
		}
		words, err := splitWords(line)
		if err == nil && len(words) > 0 {
			err = sh.do(words[0], words[1:])
		}
		sh.failed(err)
	}
}

func (sh *shell) prompt() string {
	if sh.conn == nil {
		return "ngmq> "
	}
	return redactedURL(sh.address) + "> "
}

func (sh *shell) do(name string, args []string) error {
	commands := map[string]func([]string) error{
		"connect": sh.connect, "disconnect": sh.disconnect, "sub": sh.subscribe, "unsub": sh.unsubscribe, "pub": sh.publish,
		"format": sh.format, "status": sh.status, "help": sh.help, "quit": sh.quit, "exit": sh.quit,
	}
	f := commands[name]
	if f == nil {
		return fmt.Errorf("there is no command %q: type help", name)
	}
	return f(args)
}

// waiting bounds a wait for the broker.
func (sh *shell) waiting() (context.Context, context.CancelFunc) {
	return context.WithTimeout(sh.c, shellTimeout)
}

func (sh *shell) quit([]string) error {
	sh.over = true
	return nil
}

func (sh *shell) help([]string) error {
	for _, command := range shellCommands {
		sh.printf("%-34s %s", strings.TrimSpace(command[0]+" "+command[1]), command[2])
	}
	sh.printf("%-34s %s", `"two words" 'two words' two\ words`, "words with blanks; Tab completes, the arrow keys go back")
	return nil
}

// complete offers commands, and behind sub and unsub the filters in use.
func (sh *shell) complete(line string) []string {
	command, rest, found := strings.Cut(line, " ")
	var list []string
	if !found {
		for _, c := range shellCommands {
			if strings.HasPrefix(c[0], command) {
				list = append(list, c[0]+" ")
			}
		}
		return list
	}
	if command == "unsub" || command == "sub" || command == "pub" {
		for filter := range sh.filters {
			if strings.HasPrefix(filter, rest) {
				list = append(list, command+" "+filter)
			}
		}
	}
	return list
}

// splitWords takes a line apart as a shell does: quotes and backslashes.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inside, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inside = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, inside = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if inside {
				words = append(words, word.String())
				word.Reset()
			}
			inside = false
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("the line ends within a word: close the quote, or write two \\")
	}
	if inside {
		words = append(words, word.String())
	}
	return words, nil
}
