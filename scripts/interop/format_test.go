package interop

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// formats are what mosquitto_sub 2.0 and ngmq sub are asked to print; times are in none.
var formats = []string{
	"%t %p|%q%r|%l|%m|%x|%X",
	"[%-12t][%12t][%4.2t][%.1t][%05l][%-5l][%08x][%9X][%3p][%-9p][%09p]",
	"[%A][%4A][%C][%-14C][%14.3C][%D][%E][%06E][%F][%3F][%P][%R][%S][%3S]",
	`a\tb\n\e\a\v\r\\ @@ %%`,
}

// TestFormats: ngmq sub prints byte for byte what mosquitto_sub prints, over TCP and QUIC.
func TestFormats(t *testing.T) {
	mosquitto := mosquittoTool(t, broker.tcp, "mqttv5", "")
	tcp := ngmqTool(t, "ngmq mqttv5 (TCP)", "mqtt://"+broker.tcp, "mqttv5")
	quic := ngmqTool(t, "ngmq mqttv5 (QUIC)", "quic://"+localhost(t, broker.quic), "mqttv5", "--cafile", broker.ca)
	plain := []string{"-m", `{"a": [1, 2.50, {"b": "é"}], "c": null}`}
	empty := []string{"-n"}
	full := append([]string{"-q", "1", "-r"}, plain...)
	for _, p := range []string{"content-type text/plain", "correlation-data 77", "message-expiry-interval 99", "payload-format-indicator 1",
		"response-topic re/ply", "user-property k v", "user-property k w"} {
		full = append(append(full, "-D", "publish"), strings.Fields(p)...)
	}
	for _, message := range [][]string{plain, empty, full} {
		for _, format := range formats {
			sameOutput(t, message, []tool{mosquitto, tcp, quic}, "-F", format)
		}
		sameOutput(t, message, []tool{mosquitto, tcp, quic}, "-v")
	}
	for _, message := range [][]string{plain, full} {
		for _, flags := range [][]string{{"-F", "%j"}, {"-F", "%J"}, {"-F", "%j", "--pretty"}, {"-F", "%J", "--pretty"}} {
			sameOutput(t, message, []tool{mosquitto, tcp, quic}, flags...)
		}
	}
}

var timestamp = regexp.MustCompile(`"tst":\t?"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z[+-]\d{4}"`)

// sameOutput has every tool print the same retained message, which the first one publishes.
func sameOutput(t *testing.T, message []string, tools []tool, flags ...string) {
	t.Helper()
	topic := unique("f")
	tools[0].publish(t, append([]string{"-t", topic, "-r"}, message...)...)
	defer tools[0].publish(t, "-t", topic, "-r", "-n")
	if message[0] == "-n" { // it cannot be retained
		sameLiveOutput(t, topic, tools, flags...)
		return
	}
	var want string
	for i, c := range tools {
		args := append(append([]string(nil), c.sub[1:]...), "-t", topic, "-q", "1", "-C", "1", "-W", "10")
		out := timestamp.ReplaceAllString(runTool(t, "", c.sub[0], append(args, flags...)...), "TIME")
		if i == 0 {
			want = out
		}
		assert.Equal(t, want, out, "%s %q", c.name, flags)
	}
}

// sameLiveOutput does so with an empty message, which no broker keeps.
func sameLiveOutput(t *testing.T, topic string, tools []tool, flags ...string) {
	t.Helper()
	var subs []*process
	ready := topic + "/ready"
	tools[0].publish(t, "-t", ready, "-r", "-q", "1", "-m", "ready")
	for _, c := range tools {
		args := append(append([]string(nil), c.sub[1:]...), "-t", topic, "-t", ready, "-C", "2", "-W", "10")
		p := start(t, c.sub[0], append(args, flags...)...)
		p.waitOutput(t, func(out string) bool { return len(out) > 0 })
		subs = append(subs, p)
	}
	tools[0].publish(t, "-t", topic, "-n")
	tools[0].publish(t, "-t", ready, "-r", "-n")
	want := subs[0].finish(t)
	for i, p := range subs {
		assert.Equal(t, want, p.finish(t), "%s %q", tools[i].name, flags)
	}
}
