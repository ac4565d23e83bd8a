package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pahoC is paho_c_pub and paho_c_sub, the programs that come with Paho C. They always begin with a clean session.
type pahoC struct {
	name     string
	pub, sub string   // programs
	args     []string // where to connect, which version
}

// TestPahoC: paho_c_pub and paho_c_sub in all versions, over TCP, TLS and secure WebSocket. Not over WebSocket: there
// Paho C leaves a message that comes together with the SUBACK unread until the next one comes.
func TestPahoC(t *testing.T) {
	const pkg = "paho.mqtt.c-examples"
	pub, sub := needTool(t, "paho_c_pub", pkg), needTool(t, "paho_c_sub", pkg)
	tcp, tls, wss := "tcp://"+broker.tcp, "ssl://"+localhost(t, broker.tls), "wss://"+localhost(t, broker.wss)+"/mqtt"
	for _, c := range []pahoC{
		{name: "Paho C 3.1 (TCP)", args: []string{"-c", tcp, "-V", "31"}},
		{name: "Paho C 3.1.1 (TCP)", args: []string{"-c", tcp, "-V", "311"}},
		{name: "Paho C 3.1.1 (TLS)", args: []string{"-c", tls, "-V", "311"}},
		{name: "Paho C 5.0 (TCP)", args: []string{"-c", tcp, "-V", "5"}},
		{name: "Paho C 5.0 (TLS)", args: []string{"-c", tls, "-V", "5"}},
		{name: "Paho C 5.0 (secure WebSocket)", args: []string{"-c", wss, "-V", "5"}},
	} {
		c.pub, c.sub = pub, sub
		c.args = append(c.args, "--cafile", broker.ca)
		c.prove(t)
	}
}

func (c pahoC) prove(t *testing.T) {
	provesParallel(t, c.name, "QoS 0/1/2 x 0/1/2", c.testQoS)
	provesParallel(t, c.name, "retained", c.testRetained)
	provesParallel(t, c.name, "will", c.testWill)
	provesParallel(t, c.name, "1 MB messages", c.testLarge)
	if strings.Contains(c.name, "5.0") {
		provesParallel(t, c.name, "properties", c.testProperties)
		provesParallel(t, c.name, "shared subscription", c.testShared)
	}
}

func (c pahoC) publish(t *testing.T, topic string, args ...string) {
	t.Helper()
	argv := append([]string{"-t", topic, "-i", unique("pahoc")}, c.args...)
	runTool(t, "", c.pub, append(argv, args...)...)
}

// subscriber is subscribed to base/#: a retained message has come.
func (c pahoC) subscriber(t *testing.T, base string, args ...string) *process {
	t.Helper()
	c.publish(t, base+"/sentinel", "-r", "-q", "1", "-m", "here")
	p := c.subscribe(t, base+"/#", args...)
	p.waitLine(t, "4 "+base+"/sentinel\there")
	return p
}

func (c pahoC) subscribe(t *testing.T, filter string, args ...string) *process {
	t.Helper()
	argv := append([]string{"-t", filter, "-v", "-i", unique("pahoc")}, c.args...)
	return start(t, c.sub, append(argv, args...)...)
}

func (p *process) waitLine(t *testing.T, line string) {
	t.Helper()
	p.waitOutput(t, func(out string) bool { return strings.Contains("\n"+out, "\n"+line+"\n") })
}

func (c pahoC) testQoS(t *testing.T) {
	base := unique("interop/pahoc")
	var subs []*process
	for qos := range 3 {
		subs = append(subs, c.subscriber(t, base, "-q", fmt.Sprint(qos)))
	}
	for qos := range 3 {
		c.publish(t, base+"/qos", "-q", fmt.Sprint(qos), "-m", fmt.Sprint("message ", qos))
	}
	for _, p := range subs {
		p.waitLine(t, "9 "+base+"/qos\tmessage 2")
		got := regexp.MustCompile(`message \d`).FindAllString(p.output(), -1)
		assert.Equal(t, []string{"message 0", "message 1", "message 2"}, got)
	}
}

func (c pahoC) testRetained(t *testing.T) {
	base := unique("interop/pahoc")
	c.publish(t, base+"/kept", "-r", "-q", "2", "-m", "kept")
	c.subscriber(t, base, "-q", "2").waitLine(t, "4 "+base+"/kept\tkept")
	c.publish(t, base+"/kept", "-r", "-q", "1", "-n")
	p := c.subscriber(t, base, "-q", "2")
	c.publish(t, base+"/live", "-q", "2", "-m", "live")
	p.waitLine(t, "4 "+base+"/live\tlive")
	assert.NotContains(t, p.output(), "kept")
}

func (c pahoC) testWill(t *testing.T) {
	base := unique("interop/pahoc")
	p := c.subscriber(t, base, "-q", "2")
	c.publish(t, base+"/none", "-m", "polite", "--will-topic", base+"/will", "--will-payload", "not this", "--will-qos", "1")
	other := c.subscriber(t, base, "--will-topic", base+"/will", "--will-payload", "lost", "--will-qos", "2")
	require.NoError(t, other.cmd.Process.Kill())
	p.waitLine(t, "4 "+base+"/will\tlost")
	assert.NotContains(t, p.output(), "not this")
}

func (c pahoC) testLarge(t *testing.T) {
	base, payload := unique("interop/pahoc"), strings.Repeat("x", 1<<20)
	file := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(file, []byte(payload), 0o600))
	p := c.subscriber(t, base, "-q", "2")
	for qos := range 3 {
		topic := fmt.Sprintf("%s/%d", base, qos)
		c.publish(t, topic, "-q", fmt.Sprint(qos), "-f", file)
		p.waitLine(t, fmt.Sprintf("%d %s\t%s", len(payload), topic, payload))
	}
}

func (c pahoC) testProperties(t *testing.T) {
	base := unique("interop/pahoc")
	p := c.subscriber(t, base, "-q", "1")
	c.publish(t, base+"/property", "-q", "1", "-m", "hello", "--user-property", "colour", "blue", "--message-expiry", "3600")
	p.waitLine(t, "5 "+base+"/property\thello")
	p.publishMarker(t, c, base)
	assert.Regexp(t, `MESSAGE_EXPIRY_INTERVAL value (3600|35\d\d)\n`, p.output())
	assert.Contains(t, p.output(), "USER_PROPERTY key colour value blue\n")
}

// publishMarker waits until everything before it has been printed.
func (p *process) publishMarker(t *testing.T, c pahoC, base string) {
	t.Helper()
	c.publish(t, base+"/marker", "-q", "1", "-m", "marker")
	p.waitLine(t, "6 "+base+"/marker\tmarker")
}

// testShared: each message goes to one member of the group, and both get some.
func (c pahoC) testShared(t *testing.T) {
	const count = 12
	topic := unique("interop/pahoc")
	a, b := c.subscribe(t, "$share/group/"+topic, "-q", "1"), c.subscribe(t, "$share/group/"+topic, "-q", "1")
	pub := tcpStacks()[0].open(t, options{})
	began := time.Now()
	for !strings.Contains(a.output(), "probe") || !strings.Contains(b.output(), "probe") {
		publish(t, pub, message{topic: topic, payload: "probe", qos: 1})
		select {
		case <-a.grown:
		case <-b.grown:
		case <-time.After(50 * time.Millisecond): // not subscribed yet: probe again
		}
		require.Less(t, time.Since(began), patience, "no member of the group")
	}
	for i := range count {
		publish(t, pub, message{topic: topic, payload: fmt.Sprintf("work %02d.", i), qos: 1})
	}
	work := regexp.MustCompile(`work \d\d\.`)
	all := func() []string {
		return append(work.FindAllString(a.output(), -1), work.FindAllString(b.output(), -1)...)
	}
	require.Eventually(t, func() bool { return len(all()) >= count }, patience, 10*time.Millisecond)
	seen := map[string]int{}
	for _, w := range all() {
		seen[w]++
	}
	assert.Len(t, seen, count)
	assert.Len(t, all(), count, "each once")
	assert.Regexp(t, work, a.output())
	assert.Regexp(t, work, b.output())
}
