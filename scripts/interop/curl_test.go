package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCurl: libcurl publishes and subscribes with QoS 0 and MQTT 3.1.1 over TCP; that is what it can.
func TestCurl(t *testing.T) {
	const name = "libcurl 3.1.1 (TCP)"
	curl := needTool(t, "curl", "curl")
	provesParallel(t, name, "publish, subscribe", func(t *testing.T) { curlExchange(t, curl) })
	provesParallel(t, name, "user and password", func(t *testing.T) { curlExchange(t, curl, "-u", "user:password") })
	provesParallel(t, name, "1 MB messages", func(t *testing.T) { curlLarge(t, curl) })
	provesParallel(t, name, "refused for its password", func(t *testing.T) { curlRefused(t, curl) })
}

// curlSubscribe is subscribed: a retained message has come. Some versions of curl print the topic with each message.
func curlSubscribe(t *testing.T, curl, topic string, args ...string) *process {
	t.Helper()
	publish(t, tcpStacks()[0].open(t, options{}), message{topic: topic, payload: "retained;", qos: 1, retain: true})
	p := start(t, curl, append([]string{"-sSN", "--output", "-", "mqtt://" + broker.tcp + "/" + topic}, args...)...)
	p.waitOutput(t, func(out string) bool { return strings.HasSuffix(out, "retained;") })
	return p
}

func curlExchange(t *testing.T, curl string, args ...string) {
	topic := unique("interop/curl")
	p := curlSubscribe(t, curl, topic, args...)
	for i := range 3 {
		payload := fmt.Sprintf("message %d;", i)
		runTool(t, "", curl, append([]string{"-sS", "-d", payload, "mqtt://" + broker.tcp + "/" + topic}, args...)...)
		p.waitOutput(t, func(out string) bool { return strings.HasSuffix(out, payload) })
	}
	assert.Equal(t, 3, strings.Count(p.output(), "message"))
}

func curlLarge(t *testing.T, curl string) {
	topic, payload := unique("interop/curl"), strings.Repeat("x", 1<<20)
	file := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(file, []byte(payload), 0o600))
	p := curlSubscribe(t, curl, topic)
	runTool(t, "", curl, "-sS", "--data-binary", "@"+file, "mqtt://"+broker.tcp+"/"+topic)
	p.waitOutput(t, func(out string) bool { return strings.HasSuffix(out, payload) })
}

// curlRefused: where users log in by SCRAM alone a password is refused, and curl says so.
func curlRefused(t *testing.T, curl string) {
	bin, err := ourBinary("NGMQD", "ngmqd")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(file, []byte(runTool(t, "password\n", bin, "credential", "user")), 0o600))
	b, err := startBroker("--scram-users", file)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, b.stop())
		os.RemoveAll(b.dir)
	})
	out, err := exec.CommandContext(within(t, patience), curl, "-sS", "-u", "user:password", "-d", "x", "mqtt://"+b.tcp+"/topic").CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "got 0005", "CONNACK with 5, not authorised")
}
