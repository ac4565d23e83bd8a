package client

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/ngmq/ngmq/crypto/secretfile"
)

// EarlyData says whether a resumed QUIC connection sends its CONNECT with the first
// packets (0-RTT), which saves a round trip. Somebody in between can send a copy of them
// to the server as often as he likes, and who gets hold of the server's ticket keys can
// read them later (RFC 9001 section 9.2).
type EarlyData uint8

const (
	// EarlyDataOff waits for the handshake.
	EarlyDataOff EarlyData = iota
	// EarlyDataAuto sends a CONNECT early that tells no secret and whose copy destroys
	// nothing: without password, Auth and will, and with a session that goes on.
	EarlyDataAuto
	// EarlyDataOn sends any CONNECT early: for servers that act on a CONNECT when the
	// handshake is complete, as ngmqd does.
	EarlyDataOn
)

// maxSessions is how many servers' sessions are kept; a client knows a handful.
const maxSessions = 64

// rememberedServer is what is kept of a server. All of it is as secret as a password.
type rememberedServer struct {
	Session []byte `json:"session,omitempty"` // QUIC: ticket and transport parameters
	Token   []byte `json:"token,omitempty"`   // QUIC: of NEW_TOKEN, for one use
	Ticket  []byte `json:"ticket,omitempty"`  // TLS over TCP
	State   []byte `json:"state,omitempty"`
}

// sessions remembers what resumes connections, in memory and perhaps in a file. Any
// goroutine may call its methods.
type sessions struct {
	path   string
	failed func(error)

	mu      sync.Mutex
	servers map[string]rememberedServer
	dirty   bool // servers is not in the file yet
	saving  sync.Mutex
}

// openSessions reads the file, if there is one.
func openSessions(path string, failed func(error)) (*sessions, error) {
	s := &sessions{path: path, failed: failed, servers: map[string]rememberedServer{}}
	if path == "" {
		return s, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		if err = secretfile.Check(info); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err == nil {
		err = json.Unmarshal(text, &s.servers)
	}
	if err != nil {
		return nil, fmt.Errorf("client: TLS.SessionFile: %w; remove it to begin anew", err)
	}
	return s, nil
}

// take is what is known of a server. A token is given once.
func (s *sessions) take(key string) rememberedServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.servers[key]
	if r.Token != nil {
		kept := r
		kept.Token = nil
		s.servers[key] = kept
	}
	return r
}

// change changes what is known of a server, and saves it in the background.
func (s *sessions) change(key string, f func(*rememberedServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known := s.servers[key]
	if !known && len(s.servers) >= maxSessions {
		for other := range s.servers {
			delete(s.servers, other) // any
			break
		}
	}
	f(&r)
	s.servers[key] = r
	if s.path != "" && !s.dirty {
		s.dirty = true
		go s.save()
	}
}

func (s *sessions) forget(key string) {
	s.change(key, func(r *rememberedServer) { *r = rememberedServer{} })
}

// save writes the file, unless another call has done it.
func (s *sessions) save() {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = false
	text, err := json.Marshal(s.servers)
	s.mu.Unlock()
	if !dirty {
		return
	}
	if err == nil {
		err = secretfile.Replace(s.path, text)
	}
	if err != nil {
		s.failed(fmt.Errorf("client: TLS.SessionFile: %w", err))
	}
}

// Put keeps a session of TLS over TCP (tls.ClientSessionCache).
func (s *sessions) Put(key string, state *tls.ClientSessionState) {
	if state == nil {
		s.forget("tls " + key)
		return
	}
	ticket, resumption, err := state.ResumptionState()
	if err != nil || resumption == nil {
		return
	}
	if b, err := resumption.Bytes(); err == nil {
		s.change("tls "+key, func(r *rememberedServer) { r.Ticket, r.State = ticket, b })
	}
}

// Get gives it back (tls.ClientSessionCache).
func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) {
	r := s.take("tls " + key)
	if r.Ticket == nil {
		return nil, false
	}
	resumption, err := tls.ParseSessionState(r.State)
	if err != nil {
		return nil, false
	}
	state, err := tls.NewResumptionState(r.Ticket, resumption)
	return state, err == nil
}
