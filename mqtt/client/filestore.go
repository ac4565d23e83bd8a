package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// compactAbove is the size in bytes from which on the file is rewritten when less than
	// half of it is needed.
	compactAbove = 1 << 20
	// keptLogBuffer is the largest buffer in bytes that is kept between writes.
	keptLogBuffer = 1 << 20
)

// fileStore is a store that appends what happens to a file; see filelog.go for its
// format. A goroutine of its own writes and syncs, for all that has come up meanwhile at
// once. A failure to write is final: the messages are then in memory alone.
type fileStore struct {
	path     string
	interval time.Duration // Queue.SyncInterval
	failed   func(error)   // is told the first failure; mu is held

	mu       sync.Mutex
	f        *os.File
	buf      []byte // to be written
	spare    []byte
	thens    []func()         // to be called when buf is kept
	size     int64            // of the file, with buf
	live     map[uint64]*kept // messages by order
	needed   int64            // bytes of their put records
	received map[uint16]struct{}
	err      error
	closing  bool

	wake  chan struct{} // capacity 1
	ended chan struct{}
}

// kept is what the file holds of a message.
type kept struct {
	at, length int64 // its put record
	id         uint16
	released   bool
}

// openStore opens the file of a queue, made when missing, and gives what is in it.
func openStore(q Queue, failed func(error)) (*fileStore, []*exchange, []uint16, error) {
	s := &fileStore{
		path: q.File, interval: q.SyncInterval, failed: failed,
		live: map[uint64]*kept{}, received: map[uint16]struct{}{},
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	messages, err := s.open()
	if err != nil {
		if s.f != nil {
			s.f.Close()
		}
		return nil, nil, nil, fmt.Errorf("client: Options.Queue.File: %w", err)
	}
	ids := make([]uint16, 0, len(s.received))
	for id := range s.received {
		ids = append(ids, id)
	}
	go s.run()
	return s, messages, ids, nil
}

// open locks the file, reads it and cuts off a record that was not completed.
func (s *fileStore) open() (messages []*exchange, err error) {
	if s.f, err = openLocked(s.path); err != nil {
		return nil, err
	}
	messages, s.size, err = s.read(s.f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	if s.size == 0 {
		s.buf = append(s.buf, fileMagic...)
		s.size = int64(len(fileMagic))
		s.signal()
	} else if err := s.f.Truncate(s.size); err != nil {
		return nil, err
	}
	return messages, syncDir(filepath.Dir(s.path))
}

// put keeps a message.
func (s *fileStore) put(x *exchange) <-chan struct{} {
	durable := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.size
	s.append(x.putKind(), x.appendPut)
	k := &kept{at: at, length: s.size - at}
	s.live[x.order] = k
	s.needed += k.length
	s.after(func() { close(durable) })
	return durable
}

// sent keeps the identifier of a message; 0 takes it back. One of QoS 1 may be sent
// twice, and so need not wait.
func (s *fileStore) sent(x *exchange, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.live[x.order]; k != nil {
		k.id = x.id
		s.append(recordSent, func(b []byte) []byte {
			return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(b, x.order), x.id)
		})
	}
	if x.qos == 2 {
		s.after(then)
	} else {
		then()
	}
}

// release keeps that the server has a QoS 2 message.
func (s *fileStore) release(x *exchange, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.live[x.order]; k != nil {
		k.released = true
		s.append(recordReleased, func(b []byte) []byte { return binary.BigEndian.AppendUint64(b, x.order) })
	}
	s.after(then)
}

// remove drops a message. If that gets lost, it is sent once more, which both QoS allow
// for: a QoS 2 message by its PUBREL.
func (s *fileStore) remove(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.live[x.order]; k != nil {
		s.needed -= k.length
		delete(s.live, x.order)
		s.append(recordRemoved, func(b []byte) []byte { return binary.BigEndian.AppendUint64(b, x.order) })
		s.signal()
	}
}

// arrived keeps the identifier of a received QoS 2 message.
func (s *fileStore) arrived(id uint16, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received[id] = struct{}{}
	s.append(recordArrived, func(b []byte) []byte { return binary.BigEndian.AppendUint16(b, id) })
	s.after(then)
}

// departed drops it.
func (s *fileStore) departed(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.received[id]; ok {
		delete(s.received, id)
		s.append(recordDeparted, func(b []byte) []byte { return binary.BigEndian.AppendUint16(b, id) })
		s.signal()
	}
}

// close writes what is left, and closes the file.
func (s *fileStore) close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.signal()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *fileStore) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// failure is why messages are not kept any more; nil while they are.
func (s *fileStore) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// append adds a record to what is to be written; the caller has the lock.
func (s *fileStore) append(kind byte, body func([]byte) []byte) {
	if s.err != nil || s.closing {
		return
	}
	before := len(s.buf)
	s.buf = appendRecord(s.buf, kind, body)
	s.size += int64(len(s.buf) - before)
}

// after has then called when what was appended is kept; the caller has the lock.
func (s *fileStore) after(then func()) {
	if s.closing {
		then()
		return
	}
	s.thens = append(s.thens, then)
	s.signal()
}

func (s *fileStore) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the goroutine that writes.
func (s *fileStore) run() {
	defer close(s.ended)
	var due <-chan time.Time // of the next sync, with an interval
	for {
		select {
		case <-s.wake:
		case <-due:
			due = nil
			s.fail(s.f.Sync())
		}
		wrote, more := s.write()
		if wrote && s.interval > 0 && due == nil {
			due = time.After(s.interval)
		}
		if !more {
			s.fail(errors.Join(s.f.Sync(), s.f.Close()))
			return
		}
	}
}

// write writes what has come up, once; more is false when it was the last.
func (s *fileStore) write() (wrote, more bool) {
	s.mu.Lock()
	b, thens, closing, broken := s.buf, s.thens, s.closing, s.err != nil
	s.buf, s.spare, s.thens = s.spare[:0], nil, nil
	s.mu.Unlock()
	if len(b) > 0 && !broken {
		_, err := s.f.Write(b)
		if err == nil && s.interval == 0 && len(thens) > 0 {
			err = s.f.Sync()
		}
		s.fail(err)
	}
	for _, then := range thens {
		then()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(b) <= keptLogBuffer {
		s.spare = b
	}
	if s.err == nil && s.size > compactAbove && s.needed < s.size/2 {
		s.failLocked(s.compact())
	}
	return len(b) > 0, !closing
}

func (s *fileStore) fail(err error) {
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failLocked(err)
	}
}

func (s *fileStore) failLocked(err error) {
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("client: Options.Queue.File: messages are not kept any more: %w", err)
		s.failed(s.err)
	}
}
