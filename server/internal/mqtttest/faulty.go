package mqtttest

import (
	"strings"

	"github.com/ngmq/ngmq/server/internal/broker"
)

// Fault is what the topics and filters begin with that make Faulty panic.
const Fault = "panic"

// Faulty is a store with a bug: it panics, in place of a bug anywhere in the broker.
type Faulty struct{ broker.RetainedStore }

// NewFaulty makes one that works but for its bug.
func NewFaulty() Faulty { return Faulty{broker.NewMemoryRetained()} }

// Store implements broker.RetainedStore.
func (f Faulty) Store(m *broker.Message, limits broker.RetainedLimits) (*broker.Message, bool) {
	check(string(m.Topic()))
	return f.RetainedStore.Store(m, limits)
}

// Match implements broker.RetainedStore.
func (f Faulty) Match(filter string) broker.RetainedWalk {
	check(filter)
	return f.RetainedStore.Match(filter)
}

func check(topic string) {
	if strings.HasPrefix(topic, Fault) {
		panic("a bug at " + topic)
	}
}
