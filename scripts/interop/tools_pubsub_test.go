package interop

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tool is a pair of command-line programs with the flags of mosquitto_pub and mosquitto_sub.
type tool struct {
	name     string
	pub, sub []string // program and its first arguments: where to connect, which version
}

// ready is the topic on which a test's subscriber is known to be subscribed: it is retained.
func (c tool) subscriber(t *testing.T, topic string, args ...string) *process {
	t.Helper()
	sentinel := topic + "/sentinel"
	runTool(t, "", c.pub[0], append(c.pub[1:], "-t", sentinel, "-m", "subscribed", "-r", "-q", "1")...)
	argv := append(c.sub[1:], "-t", topic, "-t", sentinel, "-v")
	p := start(t, c.sub[0], append(argv, args...)...)
	p.waitOutput(t, func(out string) bool { return strings.Contains(out, sentinel+" subscribed\n") })
	runTool(t, "", c.pub[0], append(c.pub[1:], "-t", sentinel, "-n", "-r", "-q", "1")...)
	p.waitOutput(t, func(out string) bool { return strings.Contains(out, sentinel+" (null)\n") })
	return p
}

func (c tool) publish(t *testing.T, args ...string) {
	t.Helper()
	runTool(t, "", c.pub[0], append(c.pub[1:], args...)...)
}

// lines of the subscriber without those of the sentinel.
func lines(out, topic string) []string {
	var got []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, topic+" "); ok {
			got = append(got, strings.TrimSuffix(rest, "\n"))
		}
	}
	return got
}

// exchange proves that messages of every QoS published with pub arrive at sub.
func exchange(t *testing.T, pub, sub tool) {
	for qos := range 3 {
		topic := unique("interop/tool")
		p := sub.subscriber(t, topic, "-q", fmt.Sprint(qos), "-C", "5")
		for pubQoS := range 3 {
			pub.publish(t, "-t", topic, "-q", fmt.Sprint(pubQoS), "-m", fmt.Sprintf("message %d", pubQoS))
		}
		assert.Equal(t, []string{"message 0", "message 1", "message 2"}, lines(p.finish(t), topic), "subscribed at QoS %d", qos)
	}
}

func toolRetained(t *testing.T, c tool) {
	topic := unique("interop/tool")
	c.publish(t, "-t", topic, "-r", "-q", "1", "-m", "kept")
	assert.Equal(t, "kept\n", runTool(t, "", c.sub[0], append(c.sub[1:], "-t", topic, "-C", "1", "-W", "10")...))
	c.publish(t, "-t", topic, "-r", "-q", "1", "-n")
}

func toolSession(t *testing.T, c tool) {
	topic, id := unique("interop/tool"), unique("tool")
	args := append(c.sub[1:], "-i", id, "-c", "-q", "2", "-t", topic, "-t", topic+"/first", "-C", "1", "-W", "10")
	c.publish(t, "-t", topic+"/first", "-r", "-q", "1", "-m", "subscribed")
	assert.Equal(t, "subscribed\n", runTool(t, "", c.sub[0], args...))
	c.publish(t, "-t", topic+"/first", "-r", "-q", "1", "-n")
	for i := range 3 {
		c.publish(t, "-t", topic, "-q", "2", "-m", fmt.Sprintf("queued %d", i))
	}
	args = append(c.sub[1:], "-i", id, "-c", "-q", "2", "-t", topic, "-C", "4", "-W", "10")
	out := runTool(t, "", c.sub[0], args...)
	assert.Contains(t, out, "queued 0\nqueued 1\nqueued 2\n")
}

// toolLines: -l publishes each line, and a large file goes through with -f.
func toolLines(t *testing.T, c tool) {
	const count = 500
	topic := unique("interop/tool")
	p := c.subscriber(t, topic, "-q", "1", "-C", fmt.Sprint(count+2))
	var input strings.Builder
	for i := range count {
		fmt.Fprintf(&input, "line %d\n", i)
	}
	runTool(t, input.String(), c.pub[0], append(c.pub[1:], "-t", topic, "-q", "1", "-l")...)
	got := lines(p.finish(t), topic)
	require.Len(t, got, count)
	for i, line := range got {
		require.Equal(t, fmt.Sprintf("line %d", i), line)
	}
}

var versions = []string{"mqttv31", "mqttv311", "mqttv5"}

// mosquittoTool is mosquitto_pub and mosquitto_sub over TCP, or TLS with the CA file.
func mosquittoTool(t *testing.T, addr, version, ca string) tool {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	args := []string{"-h", host, "-p", port, "-V", version}
	name := "mosquitto clients " + version + " (TCP)"
	if ca != "" {
		args[1] = "localhost"
		args = append(args, "--cafile", ca)
		name = "mosquitto clients " + version + " (TLS)"
	}
	return tool{
		name: name,
		pub:  append([]string{needTool(t, "mosquitto_pub", "mosquitto-clients")}, args...),
		sub:  append([]string{needTool(t, "mosquitto_sub", "mosquitto-clients")}, args...),
	}
}

// ngmqTool is bin/ngmq towards a URL.
func ngmqTool(t *testing.T, name, url, version string, args ...string) tool {
	t.Helper()
	bin, err := ourBinary("NGMQ", "ngmq")
	require.NoError(t, err)
	args = append([]string{"--url", url, "-V", version}, args...)
	return tool{
		name: name,
		pub:  append([]string{bin, "pub"}, args...),
		sub:  append([]string{bin, "sub"}, args...),
	}
}

func toolCases(t *testing.T, c tool) {
	proves(t, c.name, "QoS 0/1/2 x 0/1/2", func(t *testing.T) { exchange(t, c, c) })
	proves(t, c.name, "retained", func(t *testing.T) { toolRetained(t, c) })
	proves(t, c.name, "session resumed", func(t *testing.T) { toolSession(t, c) })
	proves(t, c.name, "500 lines in order", func(t *testing.T) { toolLines(t, c) })
}

// TestMosquittoClients: mosquitto_pub and mosquitto_sub over TCP and TLS in all versions.
func TestMosquittoClients(t *testing.T) {
	for _, version := range versions {
		toolCases(t, mosquittoTool(t, broker.tcp, version, ""))
		toolCases(t, mosquittoTool(t, broker.tls, version, broker.ca))
	}
}

// localhost replaces the address of a listener by its name, which the certificate carries.
func localhost(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return net.JoinHostPort("localhost", port)
}

// TestNgmq: our tool over every transport, QUIC to and from a mosquitto client over TCP, and through the lossy proxy.
func TestNgmq(t *testing.T) {
	for _, version := range versions {
		c := ngmqTool(t, "ngmq "+version+" (QUIC)", "quic://"+localhost(t, broker.quic), version, "--cafile", broker.ca)
		toolCases(t, c)
		other := mosquittoTool(t, broker.tcp, version, "")
		proves(t, c.name, "to mosquitto_sub (TCP)", func(t *testing.T) { exchange(t, c, other) })
		proves(t, c.name, "from mosquitto_pub (TCP)", func(t *testing.T) { exchange(t, other, c) })
	}
	toolCases(t, ngmqTool(t, "ngmq mqttv5 (TCP)", "mqtt://"+broker.tcp, "mqttv5"))
	toolCases(t, ngmqTool(t, "ngmq mqttv5 (TLS)", "mqtts://"+localhost(t, broker.tls), "mqttv5", "--cafile", broker.ca))
	proves(t, "ngmq mqttv5 (QUIC)", "500 lines over a bad path", func(t *testing.T) {
		proxy := startProxy(t, broker.quic)
		toolLines(t, ngmqTool(t, "", "quic://"+localhost(t, proxy.Addr()), "mqttv5", "--cafile", broker.ca))
	})
}
