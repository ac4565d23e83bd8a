package quiclb

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
)

// Server makes the Connection IDs of one worker (event loop, process) of a server, each
// once, and finds the worker in those of all. Not safe for concurrent use: each worker has
// one, made by Servers.
type Server struct {
	codec    *Codec            // makes
	known    [MaxID + 1]*Codec // read, by Config.ID
	id       []byte
	nonceLen int
	worker   uint64
	workers  uint64
	next     uint64 // number of the next one
	left     uint64 // how many there are
	local    feistel
	buf      [maxBlock]byte
}

// Servers makes the Server of each of workers, 1 to 256, that share the sockets of one server.
//
// The nonce is a number that tells the worker: worker + workers * counter. With
// Config.Key it starts at random and the key hides it (section 5.4 and 8.6 of the draft);
// without, it is encrypted with a random key of this server's own, that is it looks random
// and still none comes twice.
func Servers(c Config, workers int) ([]*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var local [KeyLen]byte
	var first [8]byte
	_, _ = rand.Read(local[:]) // never fails
	_, _ = rand.Read(first[:])
	all := make([]*Server, workers)
	for i := range all {
		codec, err := New(c)
		if err != nil {
			return nil, err
		}
		s := &Server{id: bytes.Clone(c.ServerID), nonceLen: c.NonceLen, worker: uint64(i), workers: uint64(workers)}
		if err := s.local.setKey(local[:]); err != nil {
			return nil, err
		}
		s.use(codec)
		s.next = binary.BigEndian.Uint64(first[:]) % s.left
		all[i] = s
	}
	return all, nil
}

// Rotate has s make Connection IDs of c from now on. Those of the Configs before are still
// known, until one with the same ID takes its place. What is wrong with c: CheckRotation.
func (s *Server) Rotate(c Config) error {
	codec, err := New(c)
	if err == nil {
		s.use(codec)
	}
	return err
}

// use makes Connection IDs with codec. All nonces are new to another key.
func (s *Server) use(codec *Codec) {
	s.codec, s.known[codec.id] = codec, codec
	s.left = s.counters()
}

// CheckRotation says why c cannot follow old on a server that runs: what differs has to be
// told apart by the ID, and packets with a short header do not say how long their
// Connection ID is, so that the lengths stay.
func CheckRotation(old, c Config) error {
	var errs []error
	bad := func(wrong bool, remedy string) {
		if wrong {
			errs = append(errs, errors.New("quiclb: Config."+remedy))
		}
	}
	bad(c.ID == old.ID, "ID: the same as before; use another one with another key")
	bad(!bytes.Equal(c.ServerID, old.ServerID), "ServerID: not the one from before; restart the server to change it")
	bad(c.NonceLen != old.NonceLen, "NonceLen: not the one from before; restart the server to change it")
	return errors.Join(append(errs, c.Validate())...)
}

// counters is how many values the counter in a nonce has.
func (s *Server) counters() uint64 {
	space := uint64(math.MaxUint64)
	if s.nonceLen < 8 {
		space = 1 << (8 * s.nonceLen)
	}
	return space / s.workers
}

// Len is the length of the Connection IDs in bytes.
func (s *Server) Len() int { return s.codec.Len() }

// Append appends a new Connection ID of this worker to dst. When all nonces are used up it
// is an unroutable one.
func (s *Server) Append(dst []byte) []byte {
	if s.left == 0 {
		return s.appendUnroutable(dst)
	}
	nonce := s.buf[:s.nonceLen]
	putNumber(nonce, s.worker+s.workers*s.next)
	if s.codec.plain {
		s.local.encrypt(nonce)
	}
	s.left--
	if s.next++; s.next == s.counters() {
		s.next = 0
	}
	return s.codec.Encode(dst, s.id, nonce)
}

// appendUnroutable appends a Connection ID that no load balancer can read, but this server:
// random, and the worker (section 3.2 of the draft).
func (s *Server) appendUnroutable(dst []byte) []byte {
	b := s.buf[:s.codec.blockLen]
	_, _ = rand.Read(b) // never fails
	b[0] = byte(s.worker)
	s.local.encrypt(b)
	return append(append(dst, firstOctet(UnroutableID, len(b))), b...)
}

// Worker is the one that made cid. ok is false when no worker of this server did. Of
// an unroutable one it may tell any worker.
func (s *Server) Worker(cid []byte) (worker int, ok bool) {
	if len(cid) != s.Len() {
		return 0, false
	}
	if ID(cid) == UnroutableID {
		b := s.buf[:copy(s.buf[:], cid[1:])]
		s.local.decrypt(b)
		return int(uint64(b[0]) % s.workers), true
	}
	codec := s.known[ID(cid)]
	if codec == nil {
		return 0, false
	}
	id, nonce, ok := codec.Decode(cid)
	if !ok || !bytes.Equal(id, s.id) {
		return 0, false
	}
	if codec.plain {
		s.local.decrypt(nonce)
	}
	return int(number(nonce) % s.workers), true
}

// putNumber writes n into the last bytes of b, in network byte order.
func putNumber(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
}

// number reads what putNumber wrote.
func number(b []byte) (n uint64) {
	for _, v := range b[max(0, len(b)-8):] {
		n = n<<8 | uint64(v)
	}
	return n
}
