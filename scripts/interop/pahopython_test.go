package interop

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPahoPython: Paho Python over all its transports. Every connection is a process of its own.
func TestPahoPython(t *testing.T) {
	needPahoPython(t)
	ws, wss := "ws://"+broker.ws+"/mqtt", "wss://"+broker.wss+"/mqtt"
	five := []stack{
		onPahoPython("Paho Python 5.0 (TCP)", 5, "mqtt://"+broker.tcp),
		onPahoPython("Paho Python 5.0 (TLS)", 5, "mqtts://"+broker.tls),
		onPahoPython("Paho Python 5.0 (WebSocket)", 5, ws),
		onPahoPython("Paho Python 5.0 (secure WebSocket)", 5, wss),
	}
	for _, s := range append(five,
		onPahoPython("Paho Python 3.1.1 (TCP)", 4, "mqtt://"+broker.tcp),
		onPahoPython("Paho Python 3.1.1 (TLS)", 4, "mqtts://"+broker.tls),
		onPahoPython("Paho Python 3.1.1 (WebSocket)", 4, ws),
		onPahoPython("Paho Python 3.1.1 (secure WebSocket)", 4, wss),
	) {
		for _, c := range libraryCases {
			provesParallel(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
		}
	}
	for _, s := range five {
		provesParallel(t, s.name, "request and response", func(t *testing.T) { caseRequestResponse(t, s) })
		provesParallel(t, s.name, "shared subscription", func(t *testing.T) { caseShared(t, s) })
	}
}

// debianPython is the Python that Debian's packages are for; python3 of the PATH may be another.
const debianPython = "/usr/bin/python3"

func needPahoPython(t *testing.T) {
	t.Helper()
	require.NoError(t, exec.CommandContext(within(t, patience), debianPython, "-c", "import paho.mqtt.client").Run(),
		"Paho Python is missing: apt-get install python3-paho-mqtt (or `make deps`)")
}

func onPahoPython(name string, version int, url string) stack {
	return stack{name: name, atRelease: true, new: func(_ dialer, o options) client {
		return newScripted(version, o, debianPython, filepath.Join("pahopython", "client.py"), url, broker.ca)
	}}
}

// caseRequestResponse: the properties of a request reach the responder, its answer the asker.
func caseRequestResponse(t *testing.T, s stack) {
	requests, answers := unique("interop/requests"), unique("interop/answers")
	asker, responder := s.open(t, options{}).(*scripted), s.open(t, options{}).(*scripted)
	subscribe(t, responder, requests, 2)
	subscribe(t, asker, answers, 2)
	for qos := byte(0); qos <= 2; qos++ {
		sent := properties{
			ResponseTopic: answers, CorrelationData: fmt.Sprint("request ", qos), ContentType: "text/plain",
			MessageExpiryInterval: 3600, UserProperties: map[string]string{"key": "value"},
		}
		require.NoError(t, asker.publishWith(within(t, patience), message{topic: requests, payload: "question", qos: qos}, sent))
		assert.Equal(t, message{topic: requests, payload: "question", qos: qos}, next(t, responder))
		got := <-responder.properties
		assert.InDelta(t, sent.MessageExpiryInterval, got.MessageExpiryInterval, patience.Seconds())
		got.MessageExpiryInterval = sent.MessageExpiryInterval
		assert.Equal(t, sent, got)

		answer := properties{CorrelationData: got.CorrelationData}
		require.NoError(t, responder.publishWith(within(t, patience), message{topic: got.ResponseTopic, payload: "answer", qos: qos}, answer))
		assert.Equal(t, message{topic: answers, payload: "answer", qos: qos}, next(t, asker))
		assert.Equal(t, answer, <-asker.properties)
	}
}

// caseShared: each message goes to one member of the group, and all members get some.
func caseShared(t *testing.T, s stack) {
	const count = 30
	topic := unique("interop/shared")
	pub, members := s.open(t, options{}), []client{s.open(t, options{}), s.open(t, options{})}
	for _, m := range members {
		subscribe(t, m, "$share/group/"+topic, 2)
	}
	for i := range count {
		publish(t, pub, message{topic: topic, payload: fmt.Sprint(i), qos: byte(i % 3)})
	}
	got, share := map[string]int{}, [2]int{}
	for range count {
		m, member := nextOf(t, members[0], members[1])
		got[m.payload]++
		share[member]++
	}
	for _, m := range members {
		nothingMore(t, m)
	}
	assert.Len(t, got, count, "each once")
	assert.NotContains(t, share, 0, "shares of the members")
}

// nextOf is the next message of either client, and which one got it.
func nextOf(t *testing.T, a, b client) (message, int) {
	t.Helper()
	select {
	case m := <-a.received():
		return m, 0
	case m := <-b.received():
		return m, 1
	case <-time.After(patience):
		require.FailNow(t, "no message arrived", "within %s", patience)
		return message{}, 0
	}
}
