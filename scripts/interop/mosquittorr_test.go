package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMosquittoRR: mosquitto_rr asks, mosquitto_sub sees the request, mosquitto_pub answers.
func TestMosquittoRR(t *testing.T) {
	rr := needTool(t, "mosquitto_rr", "mosquitto-clients")
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, c := range []tool{mosquittoTool(t, broker.tcp, version, ""), mosquittoTool(t, broker.tls, version, broker.ca)} {
			name := strings.Replace(c.name, "mosquitto clients", "mosquitto_rr", 1)
			ask := append([]string{rr}, c.sub[1:]...)
			provesParallel(t, name, "QoS 0/1/2", func(t *testing.T) {
				for qos := range 3 {
					requestResponse(t, c, ask, fmt.Sprint("question ", qos), "-q", fmt.Sprint(qos))
				}
			})
			provesParallel(t, name, "1 MB answer", func(t *testing.T) { requestLarge(t, c, ask) })
			provesParallel(t, name, "will", func(t *testing.T) { requestWill(t, c, ask) })
		}
	}
}

// TestNgmqRR: ngmq rr asks over QUIC and TCP; mosquitto's clients or ngmq's answer.
func TestNgmqRR(t *testing.T) {
	for _, version := range []string{"mqttv311", "mqttv5"} {
		over := ngmqTool(t, "ngmq rr "+version+" (QUIC)", "quic://"+localhost(t, broker.quic), version, "--cafile", broker.ca)
		answering := mosquittoTool(t, broker.tcp, version, "")
		ask := append([]string{over.sub[0], "rr"}, over.sub[2:]...)
		provesParallel(t, over.name, "QoS 0/1/2", func(t *testing.T) {
			for qos := range 3 {
				requestResponse(t, answering, ask, fmt.Sprint("question ", qos), "-q", fmt.Sprint(qos))
			}
		})
		provesParallel(t, over.name, "1 MB answer", func(t *testing.T) { requestLarge(t, over, ask) })
		tcp := ngmqTool(t, "ngmq rr "+version+" (TCP)", "mqtt://"+broker.tcp, version)
		askTCP := append([]string{tcp.sub[0], "rr"}, tcp.sub[2:]...) // a process that is killed leaves a QUIC connection to its idle timeout
		provesParallel(t, tcp.name, "will", func(t *testing.T) { requestWill(t, answering, askTCP) })
	}
}

// requestResponse has one request answered; with MQTT 5.0 where and with the data that its properties name.
func requestResponse(t *testing.T, c tool, ask []string, question string, args ...string) {
	t.Helper()
	requests, answers := unique("interop/rr"), unique("interop/rr-answers")
	five := strings.Contains(strings.Join(c.sub, " "), "mqttv5")
	format, want := "%p", question
	argv := append(ask[1:], "-t", requests, "-e", answers, "-m", question)
	if five {
		format, want = "%R %D %p", answers+" serial-7 "+question
		argv = append(argv, "-D", "publish", "correlation-data", "serial-7")
	}
	responder := rrResponder(t, c, requests, "-F", format)
	p := start(t, ask[0], append(argv, args...)...)
	responder.waitOutput(t, func(out string) bool { return strings.Contains("\n"+out, "\n"+want+"\n") })
	answer := []string{"-t", answers, "-m", "answer", "-q", "2"}
	if five {
		answer = append(answer, "-D", "publish", "correlation-data", "serial-7")
	}
	c.publish(t, answer...)
	assert.Equal(t, "answer\n", p.finish(t))
}

// rrResponder is a mosquitto_sub that is subscribed to the topic of requests.
func rrResponder(t *testing.T, c tool, requests string, args ...string) *process {
	t.Helper()
	ready := requests + "/ready"
	c.publish(t, "-t", ready, "-r", "-q", "1", "-m", "ready")
	p := start(t, c.sub[0], append(append(c.sub[1:], "-q", "2", "-t", requests, "-t", ready), args...)...)
	p.waitOutput(t, func(out string) bool { return strings.Contains(out, "ready") })
	return p
}

func requestLarge(t *testing.T, c tool, ask []string) {
	requests, answers, payload := unique("interop/rr"), unique("interop/rr-answers"), strings.Repeat("x", 1<<20)
	file := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(file, []byte(payload), 0o600))
	responder := rrResponder(t, c, requests)
	p := start(t, ask[0], append(ask[1:], "-q", "1", "-t", requests, "-e", answers, "-m", "question")...)
	responder.waitOutput(t, func(out string) bool { return strings.HasSuffix(out, "question\n") })
	c.publish(t, "-q", "1", "-t", answers, "-f", file)
	answer := p.finish(t)
	assert.True(t, answer == payload+"\n", "the answer came back changed")
}

func requestWill(t *testing.T, c tool, ask []string) {
	requests, will := unique("interop/rr"), unique("interop/rr-will")
	watcher, responder := rrResponder(t, c, will), rrResponder(t, c, requests)
	p := start(t, ask[0], append(ask[1:], "-t", requests, "-e", requests+"/answers", "-m", "question",
		"--will-topic", will, "--will-payload", "lost", "--will-qos", "2")...)
	responder.waitOutput(t, func(out string) bool { return strings.Contains(out, "question\n") })
	require.NoError(t, p.cmd.Process.Kill())
	watcher.waitOutput(t, func(out string) bool { return strings.Contains(out, "lost\n") })
}
