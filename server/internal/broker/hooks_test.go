package broker

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Asking about topics that a client uses again and again costs no memory.
func TestAuthorizeAllocatesNothing(t *testing.T) {
	asked := 0
	w := newWorld(t, func(c *Config) {
		c.Handlers.Authorize = func(_ *ClientInfo, _ Action, topic string) error {
			asked += len(topic)
			return nil
		}
	})
	p := w.connect(packet.V50, "p")
	var messages []byte
	for i := range topicNames {
		messages = pub(fmt.Sprintf("topic/%d", i), "x", 0, 0).AppendTo(messages, packet.V50)
	}
	_ = p.c.Feed(messages)
	allocs := testing.AllocsPerRun(1000, func() { _ = p.c.Feed(messages) })
	assert.True(t, raceEnabled || allocs == 0, "%v allocations", allocs)
	assert.Equal(t, 1002*topicNames*len("topic/0"), asked)
	p.send(pub("another", "x", 0, 0), pub("another", "x", 0, 0))
	assert.Equal(t, "another", p.c.names[0])
}

func TestNamesOfHooks(t *testing.T) {
	assert.Equal(t, "publish subscribe unknown", fmt.Sprint(ActionPublish, " ", ActionSubscribe, " ", Action(0)))
	assert.Equal(t, "created expired unknown", fmt.Sprint(SessionCreated, " ", SessionExpired, " ", SessionChange(9)))
}

// A broker tells listeners when functions of the program may keep them.
func TestRunsHandlers(t *testing.T) {
	assert.False(t, New(Config{}).RunsHandlers())
	assert.True(t, New(Config{Handlers: Handlers{Connected: func(*ConnectedEvent) {}}}).RunsHandlers())
	assert.True(t, New(Config{Authenticators: make([]Authenticator, 1)}).RunsHandlers())
	b := New(Config{})
	assert.NoError(t, b.HandlePublish("a/#", func(*PublishEvent) error { return nil }))
	assert.True(t, b.RunsHandlers(), "also one that comes late")
}
