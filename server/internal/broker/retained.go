package broker

import (
	"iter"
	"log/slog"
	"sync"

	"github.com/ngmq/ngmq/mqtt/topic"
)

// memoryRetained is the RetainedStore in memory.
type memoryRetained struct {
	mu    sync.RWMutex
	names topic.Names[*Message]
	bytes int64
}

// nodeSize is about what a level takes in a tree of topics, in bytes. Limits count it,
// because a topic of 128 levels that takes 256 bytes takes 35,000 in a tree.
const nodeSize = 300

// NewMemoryRetained makes a RetainedStore in memory.
func NewMemoryRetained() RetainedStore { return new(memoryRetained) }

func (r *memoryRetained) Store(m *Message, limits RetainedLimits) (old *Message, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, replaced := r.names.Set(m.Topic(), m)
	if replaced {
		r.bytes -= int64(old.Size())
	}
	r.bytes += int64(m.Size())
	if r.names.Len() > limits.Messages || r.bytes+nodeSize*int64(r.names.Nodes()) > limits.Bytes {
		r.names.Delete(m.Topic())
		r.bytes -= int64(m.Size())
		return old, false
	}
	m.Retain()
	return old, true
}

func (r *memoryRetained) Delete(name []byte, m *Message) *Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.names.Find(name)
	if !ok || m != nil && m != old {
		return nil
	}
	r.bytes -= int64(old.Size())
	r.names.Delete(name)
	return old
}

// memoryWalk is a walk through the tree that pauses in the middle.
type memoryWalk struct {
	r     *memoryRetained
	left  int // topics that may be looked at before the next pause
	found []*Message
	next  func() (struct{}, bool)
	stop  func()
}

func (r *memoryRetained) Match(filter string) RetainedWalk {
	w := &memoryWalk{r: r}
	w.next, w.stop = iter.Pull(func(pause func(struct{}) bool) {
		for m, ok := range r.names.Match(filter) {
			if ok {
				m.Retain()
				w.found = append(w.found, m)
			}
			if w.left--; w.left <= 0 && !pause(struct{}{}) {
				return
			}
		}
	})
	return w
}

func (w *memoryWalk) Next(limit int) (found []*Message, left int, more bool) {
	w.r.mu.RLock()
	defer w.r.mu.RUnlock()
	w.left = limit
	_, more = w.next()
	found, w.found = w.found, nil
	return found, w.left, more
}

func (w *memoryWalk) Stop() { w.stop() }

func (r *memoryRetained) Size() (messages, bytes int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return int64(r.names.Len()), r.bytes
}

// retainedExpiry removes a retained message when its Message Expiry Interval is over.
type retainedExpiry struct {
	b     *Broker
	m     *Message // with a reference of its own
	timer timer
}

// expiries are the retained messages that expire.
type expiries struct {
	mu        sync.Mutex
	byMessage map[*Message]*retainedExpiry
}

// retain stores m as the retained message of its topic [MQTT-3.3.1-5]; without a
// payload it erases what is stored [MQTT-3.3.1-6] and is not stored itself
// [MQTT-3.3.1-7].
func (b *Broker) retain(m *Message) {
	if len(m.Payload()) == 0 {
		b.forget(b.cfg.Retained.Delete(m.Topic(), nil))
		return
	}
	m.number = b.retains.Add(1)
	limits := RetainedLimits{b.cfg.MaxRetainedMessages, b.cfg.MaxRetainedBytes}
	b.watchExpiry(m)
	old, ok := b.cfg.Retained.Store(m, limits)
	b.forget(old)
	if ok {
		b.armExpiry(m)
		return
	}
	b.unwatchExpiry(m)
	b.count.dropped[DropRetainedFull].Add(1)
	b.log(logRetained, slog.LevelWarn, "retained message not stored: raise MaxRetainedMessages or MaxRetainedBytes",
		"topic", string(m.Topic()), "client", m.from)
}

// watchExpiry notes a message that expires, before it is stored: who replaces it the
// next moment finds it.
func (b *Broker) watchExpiry(m *Message) {
	if m.expires == 0 {
		return
	}
	m.Retain()
	b.expiries.mu.Lock()
	defer b.expiries.mu.Unlock()
	b.expiries.byMessage[m] = &retainedExpiry{b: b, m: m}
}

// armExpiry sets the timer of a message that has been stored, unless it is gone again.
func (b *Broker) armExpiry(m *Message) {
	if m.expires == 0 {
		return
	}
	b.expiries.mu.Lock()
	defer b.expiries.mu.Unlock()
	if e := b.expiries.byMessage[m]; e != nil {
		b.timers.set(&e.timer, e, m.expires)
	}
}

func (b *Broker) unwatchExpiry(m *Message) {
	if m.expires == 0 {
		return
	}
	b.expiries.mu.Lock()
	e := b.expiries.byMessage[m]
	delete(b.expiries.byMessage, m)
	b.expiries.mu.Unlock()
	if e != nil {
		b.timers.stop(&e.timer)
		m.Release()
	}
}

// forget lets go of a message that the store has given back; nil does nothing.
func (b *Broker) forget(m *Message) {
	if m == nil {
		return
	}
	m.replaced.Store(true)
	b.unwatchExpiry(m)
	m.Release()
}

// onTimer removes the message, if it is still the one of its topic. While the entry
// is there its reference keeps e.m alive.
func (e *retainedExpiry) onTimer(int64) {
	x := &e.b.expiries
	x.mu.Lock()
	mine := x.byMessage[e.m] == e
	if mine {
		delete(x.byMessage, e.m)
	}
	x.mu.Unlock()
	if !mine {
		return
	}
	e.b.forget(e.b.cfg.Retained.Delete(e.m.Topic(), e.m))
	e.m.Release()
}
