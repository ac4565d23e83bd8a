package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestRequestResponse(t *testing.T) {
	b := startLoopback(t)
	rr := start(t, t.Context(), append([]string{"rr", "-t", "ask", "-e", "answer", "-m", "why", "-F", "%t %p %D",
		"-D", "publish", "correlation-data", "7"}, b.host()...)...)
	b.subscribers(1)
	b.wait(func() bool { return len(b.messages) == 1 })
	topic, _ := b.properties[0].Bytes(packet.ResponseTopic)
	assert.Equal(t, "answer", string(topic))
	for _, data := range []string{"6", "7", "7"} {
		require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", "answer", "-m", "because " + data, "-D", "publish", "correlation-data", data}, b.host()...)...))
	}
	assert.Equal(t, result{stdout: "answer because 7 7\n"}, <-rr)
}

func TestRequestWithoutAnswer(t *testing.T) {
	for version, want := range map[string]string{"5": "^ngmq/response/[A-Z0-9]{26}$", "311": "^$"} {
		b := startLoopback(t)
		longEnough(t, func(seconds string) bool {
			got := ngmq(t.Context(), "", append([]string{"rr", "-t", "ask", "-n", "-W", seconds, "-V", version}, b.host()...)...)
			assert.Equal(t, exitTimeout, got.status)
			if asked := b.asked(); asked {
				assert.Equal(t, result{exitTimeout, "", "ngmq: no response in time: does anybody subscribe to ask, and answer to its response topic?\n"}, got)
				return true
			}
			return false
		})
		topic, _ := b.properties[0].Bytes(packet.ResponseTopic)
		assert.Regexp(t, want, string(topic))
		assert.Equal(t, version == "311", len(b.properties[0]) == 0)
	}
}

func TestProperties(t *testing.T) {
	b := startLoopback(t)
	args := append([]string{"pub", "-t", "a", "-m", "x", "--will-topic", "w"}, b.host()...)
	for _, d := range []string{"connect receive-maximum 7", "connect maximum-packet-size 5000", "connect topic-alias-maximum 9",
		"connect session-expiry-interval 30", "connect user-property k v", "connect request-problem-information 0",
		"publish content-type text/plain", "PUBLISH user-property -1 -D", "publish message-expiry-interval 60",
		"publish payload-format-indicator 1", "will will-delay-interval 5", "disconnect user-property bye now"} {
		args = append(append(args, "-D"), strings.Fields(d)...)
	}
	require.Equal(t, result{}, ngmq(t.Context(), "", args...))
	b.wait(func() bool { return len(b.disconnects) == 1 })
	want := packet.AppendUint32(nil, packet.SessionExpiryInterval, 30)
	want = packet.AppendUint16(want, packet.ReceiveMaximum, 7)
	want = packet.AppendUint32(want, packet.MaximumPacketSize, 5000)
	want = packet.AppendUint16(want, packet.TopicAliasMaximum, 9)
	want = packet.AppendUserProperty(want, "k", "v")
	assert.Equal(t, packet.AppendByte(want, packet.RequestProblemInformation, 0), b.connects[0].Properties)
	want = packet.AppendString(nil, packet.ContentType, "text/plain")
	want = packet.AppendUserProperty(want, "-1", "-D")
	want = packet.AppendUint32(want, packet.MessageExpiryInterval, 60)
	assert.Equal(t, packet.AppendByte(want, packet.PayloadFormatIndicator, 1), b.properties[0])
	assert.Equal(t, packet.AppendUint32(nil, packet.WillDelayInterval, 5), b.connects[0].Will.Properties)
	assert.Equal(t, packet.AppendUserProperty(nil, "bye", "now"), b.disconnects[0].Properties)
}

func TestWrongProperties(t *testing.T) {
	for args, want := range map[string]string{
		"-D":                                      "COMMAND NAME VALUE",
		"-D publish content-type":                 "COMMAND NAME VALUE",
		"-D publish user-property k":              "COMMAND NAME VALUE",
		"-D puback reason-string x":               "one of connect, disconnect, publish, subscribe, unsubscribe, will",
		"-D publish maximum-packet-size 5":        "publish has no property",
		"-D publish message-expiry-interval soon": "not a number",
		"-D connect receive-maximum 65536":        "not a number",
		"-D connect receive-maximum 0":            "Receive Maximum",
		"-D publish payload-format-indicator 2":   "0 or 1",
		"-D publish topic-alias 0":                "Topic Alias",
		"-D publish topic-alias 1 -V 311":         "-D needs MQTT 5",
		"-D publish content-type x -V 311":        "-D needs MQTT 5",
		"-D will content-type x":                  "--will-topic",
		"--psk 00":                                "mosquitto has it",
	} {
		got := ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-m", "x"}, strings.Fields(args)...)...)
		assert.Equal(t, exitUsage, got.status, args)
		assert.Contains(t, got.stderr, want, args)
	}
}

func TestSubRemovesRetained(t *testing.T) {
	b := startLoopback(t)
	for _, m := range []string{"a/1", "a/2", "a/keep"} {
		require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", m, "-m", "x", "-r"}, b.host()...)...))
	}
	b.kept = true
	args := append([]string{"sub", "-t", "a/+", "-T", "a/keep", "--remove-retained", "-F", "%t %r", "-C", "2"}, b.host()...)
	assert.Equal(t, result{stdout: "a/1 1\na/2 1\n"}, ngmq(t.Context(), "", args...))
	b.wait(func() bool { return len(b.messages) == 5 })
	for i, m := range b.messages[3:] {
		assert.Equal(t, []string{"a/1", "a/2"}[i], string(m.Topic))
		assert.True(t, m.Retain)
		assert.Empty(t, m.Payload)
	}
}

func TestSubRandomFilter(t *testing.T) {
	b := startLoopback(t)
	sub := start(t, t.Context(), append([]string{"sub", "-t", "a", "-C", "400", "--random-filter", "50"}, b.host()...)...)
	b.subscribers(1)
	require.Equal(t, result{}, ngmq(t.Context(), strings.Repeat("x\n", 400), append([]string{"pub", "-t", "a", "-l"}, b.host()...)...))
	count := strings.Count((<-sub).stdout, "x")
	assert.Greater(t, count, 100) // 10 standard deviations
	assert.Less(t, count, 300)
}

func TestSubOfWhatIsNoJSON(t *testing.T) {
	b := startLoopback(t)
	sub := start(t, t.Context(), append([]string{"sub", "-t", "a", "-C", "1", "-F", "<%J>"}, b.host()...)...)
	b.subscribers(1)
	require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-m", "nojson"}, b.host()...)...))
	got := <-sub
	assert.Equal(t, "<>\n", got.stdout)
	assert.Contains(t, got.stderr, "not valid JSON on topic a")
}
