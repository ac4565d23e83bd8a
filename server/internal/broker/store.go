package broker

import (
	"sync"
)

// SessionStore finds sessions by client identifier. The broker calls it when clients
// come and go, never per message, and holds its registry lock meanwhile: calls do not
// overlap, but Len may be called at any time.
type SessionStore interface {
	// Lookup gives the session of a client identifier, nil when there is none.
	Lookup(id string) *Session
	// Store makes s the session of its client identifier, in place of an older one.
	Store(s *Session)
	// Delete forgets s, if it is still the session of its client identifier.
	Delete(s *Session)
	// Len is the number of sessions.
	Len() int
}

// RetainedStore keeps one message per topic. It must be safe for concurrent use. It
// calls Message.Retain for what it keeps and Message.Release when it lets go.
type RetainedStore interface {
	// Store keeps m as the message of its topic. It gives the message that was
	// stored before, nil when there was none, with a reference that the caller
	// releases. When the limits do not allow m, ok is false and the topic has no
	// message afterwards: better none than one that is out of date.
	Store(m *Message, limits RetainedLimits) (old *Message, ok bool)
	// Delete forgets the message of a topic. If m is not nil, only that one. It
	// gives what it removed, with a reference that the caller releases.
	Delete(topic []byte, m *Message) *Message
	// Match begins a walk over the messages whose topic matches the filter. The
	// caller calls Stop when it is done with it.
	Match(filter string) RetainedWalk
	// Size is the number of messages and their bytes.
	Size() (messages, bytes int64)
}

// RetainedWalk looks for messages in parts, so that a large store keeps nobody waiting.
// The store may change between two parts: a message that is there all the time is found
// once, one that comes or goes meanwhile once or not at all. One goroutine at a time.
type RetainedWalk interface {
	// Next looks at no more than limit topics, at least 1, and gives the messages
	// that match with references, which the caller releases. left is the rest of
	// limit; more tells that the walk is not at its end.
	Next(limit int) (found []*Message, left int, more bool)
	// Stop ends the walk; it may be called several times.
	Stop()
}

// RetainedLimits are the limits that RetainedStore.Store has to respect.
type RetainedLimits struct {
	Messages int
	Bytes    int64
}

// memorySessions is the SessionStore in memory.
type memorySessions struct {
	mu   sync.RWMutex
	byID map[string]*Session
}

// NewMemorySessions makes a SessionStore in memory.
func NewMemorySessions() SessionStore {
	return &memorySessions{byID: make(map[string]*Session)}
}

func (m *memorySessions) Lookup(id string) *Session {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byID[id]
}

func (m *memorySessions) Store(s *Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byID[s.id] = s
}

func (m *memorySessions) Delete(s *Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID[s.id] == s {
		delete(m.byID, s.id)
	}
}

func (m *memorySessions) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.byID)
}
