package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// quicheReset is the end of a stream by the server.
type quicheReset uint64

func (r quicheReset) Error() string { return fmt.Sprintf("reset with 0x%x", uint64(r)) }

// quicheMux is a connection of quiche: a process, quiche/streams.mjs, that says what it sends and expects.
type quicheMux struct {
	p *processConn

	writing sync.Mutex
	mu      sync.Mutex
	changed *sync.Cond
	streams map[uint32]*quicheStream
	code    uint64
	over    bool // the process has ended
	byPeer  bool // the server has closed the connection
}

// quicheStream is one of its streams.
type quicheStream struct {
	m       *quicheMux
	number  uint32
	streams int64 // the stream id; -1: not open
	in      bytes.Buffer
	end     error // of reading
	stopped error // of writing
	until   time.Time
}

func dialQuicheMux(_ context.Context, addr string, _ *tls.Config) (mux, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	b, err := habitsBroker()
	if err != nil {
		return nil, err
	}
	p, err := startProcess("node", filepath.Join("quiche", "streams.mjs"), host, port, b.ca, "mqtt")
	if err != nil {
		return nil, err
	}
	m := &quicheMux{p: p, streams: map[uint32]*quicheStream{}}
	m.changed = sync.NewCond(&m.mu)
	go m.run()
	return m, nil
}

// run takes what the process says.
func (m *quicheMux) run() {
	var head [9]byte
	for {
		if _, err := io.ReadFull(m.p.out, head[:]); err != nil {
			break
		}
		value := binary.BigEndian.Uint32(head[5:])
		var data []byte
		if head[4] == 'd' {
			data = make([]byte, value)
			io.ReadFull(m.p.out, data)
		}
		m.mu.Lock()
		m.take(m.streams[binary.BigEndian.Uint32(head[:])], head[4], value, data)
		m.changed.Broadcast()
		m.mu.Unlock()
	}
	m.mu.Lock()
	m.over = true
	m.changed.Broadcast()
	m.mu.Unlock()
}

func (m *quicheMux) take(s *quicheStream, kind byte, value uint32, data []byte) {
	if kind == 'c' {
		m.code, m.byPeer = uint64(value), true
		return
	}
	switch kind {
	case 'i':
		s.streams = int64(value)
	case 'l':
		s.stopped = os.ErrDeadlineExceeded
	case 'd':
		s.in.Write(data)
	case 'f':
		s.end = io.EOF
	case 'R':
		s.end = quicheReset(value)
	case 'W':
		s.stopped = quicheReset(value)
	}
}

// say tells the process something.
func (m *quicheMux) say(number uint32, kind byte, value uint32, data []byte) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	frame := binary.BigEndian.AppendUint32(append(binary.BigEndian.AppendUint32(nil, number), kind), value)
	_, err := m.p.in.Write(append(frame, data...))
	return err
}

// wait waits until done, with mu held, the end of the connection or the time.
func (m *quicheMux) wait(until time.Time, done func() bool) error {
	timer := time.AfterFunc(time.Until(until), m.changed.Broadcast)
	defer timer.Stop()
	for !done() {
		switch {
		case m.byPeer:
			return fmt.Errorf("closed by the server with 0x%x", m.code)
		case m.over:
			return net.ErrClosed
		case !until.IsZero() && !time.Now().Before(until):
			return os.ErrDeadlineExceeded
		}
		m.changed.Wait()
	}
	return nil
}

func (m *quicheMux) open(ctx context.Context, uni bool) (muxStream, error) {
	kind := byte('b')
	if uni {
		kind = 'u'
	}
	until, _ := ctx.Deadline()
	for {
		m.mu.Lock()
		s := &quicheStream{m: m, number: uint32(len(m.streams)) + 1, streams: -1}
		m.streams[s.number] = s
		m.mu.Unlock()
		if err := m.say(s.number, kind, 0, nil); err != nil {
			return nil, err
		}
		m.mu.Lock()
		err := m.wait(until, func() bool { return s.streams >= 0 || s.stopped != nil })
		m.mu.Unlock()
		if err != nil || s.streams >= 0 {
			return s, err
		}
		select {
		case <-time.After(pollStep): // quiche does not tell when the server allows more
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// end waits for the end of the process.
func (m *quicheMux) end(code uint64) {
	m.say(0, 'c', uint32(code), nil)
	m.p.in.Close()
	select {
	case <-m.p.ended:
	case <-time.After(2 * time.Second):
		m.p.cmd.Process.Kill()
	}
}

func (m *quicheMux) closed(ctx context.Context) (uint64, error) {
	until, _ := ctx.Deadline()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.wait(until, func() bool { return m.byPeer }); err != nil {
		return 0, err
	}
	return m.code, nil
}

func (m *quicheMux) state() tls.ConnectionState { return tls.ConnectionState{} }

func (s *quicheStream) id() int64 { return s.streams }

func (s *quicheStream) Read(p []byte) (int, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.m.wait(s.until, func() bool { return s.in.Len() > 0 || s.end != nil }); err != nil {
		return 0, err
	}
	if s.in.Len() > 0 {
		return s.in.Read(p)
	}
	return 0, s.end
}

func (s *quicheStream) Write(p []byte) (int, error) {
	s.m.mu.Lock()
	err := s.stopped
	s.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return len(p), s.m.say(s.number, 'd', uint32(len(p)), p)
}

func (s *quicheStream) fin()                    { s.m.say(s.number, 'f', 0, nil) }
func (s *quicheStream) reset(code uint64)       { s.m.say(s.number, 'r', uint32(code), nil) }
func (s *quicheStream) stopReading(code uint64) { s.m.say(s.number, 's', uint32(code), nil) }

func (s *quicheStream) SetReadDeadline(t time.Time) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.until = t
	return nil
}

func (s *quicheStream) SetWriteDeadline(time.Time) error { return nil }
