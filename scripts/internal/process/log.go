package process

import (
	"bytes"
	"encoding/json"
	"sync"
)

const logTail = 16 << 10 // bytes of the log that are kept

// Addresses are where ngmqd listens; "off" where it does not.
type Addresses struct{ QUIC, TCP, TLS, WS string }

// log takes the log of a server: it finds the line that says ready and keeps the end.
type log struct {
	ready chan Addresses
	line  func([]byte)

	mu    sync.Mutex
	part  []byte // of a line
	kept  []byte
	found bool
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.take(line)
		l.part = append([]byte(nil), rest...)
	}
}

func (l *log) take(line []byte) {
	l.kept = append(append(l.kept, line...), '\n')
	l.kept = l.kept[max(0, len(l.kept)-logTail):]
	if !l.found {
		l.find(line)
	}
	if l.line != nil {
		l.line(line)
	}
}

func (l *log) find(line []byte) {
	var entry struct {
		Msg string
		Addresses
	}
	if json.Unmarshal(line, &entry) == nil && entry.Msg == "ready" {
		l.found = true
		l.ready <- entry.Addresses
	}
}

func (l *log) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept)
}
