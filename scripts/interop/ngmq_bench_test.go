package interop

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNgmqBench: ngmq bench and ngmq ping as programs, against our broker over every transport, and a mosquitto broker.
func TestNgmqBench(t *testing.T) {
	tcp, tls, _ := startMosquitto(t)
	for _, k := range [][2]string{
		{"ngmq bench, ping (QUIC)", "quic://" + localhost(t, broker.quic)},
		{"ngmq bench, ping (TCP)", "mqtt://" + broker.tcp},
		{"ngmq bench, ping (TLS)", "mqtts://" + localhost(t, broker.tls)},
		{"ngmq bench, ping (ws)", "ws://" + broker.ws},
		{"ngmq bench, ping (wss)", "wss://" + localhost(t, broker.wss)},
		{"ngmq bench, ping -> mosquitto broker (TCP)", "mqtt://" + tcp},
		{"ngmq bench, ping -> mosquitto broker (TLS)", "mqtts://" + localhost(t, tls)},
	} {
		name, url := k[0], k[1]
		proves(t, name, "round trips at QoS 0/1/2", func(t *testing.T) {
			for qos := range 3 {
				roundTrips(t, url, "-q", fmt.Sprint(qos))
			}
		})
		proves(t, name, "a bad path", func(t *testing.T) { roundTrips(t, url, "-q", "1", "--netem", "loss=1%,delay=1ms") })
		proves(t, name, "ping", func(t *testing.T) {
			out := runTool(t, "", ngmqPath(t), append([]string{"ping", "--url", url}, trust(url)...)...)
			assert.Regexp(t, `(?m)^full .* connack \d+\.\d\d ms .* ping \d+\.\d\d ms`, out)
		})
	}
	quic := "quic://" + localhost(t, broker.quic)
	proves(t, "ngmq bench, ping (QUIC)", "data streams", func(t *testing.T) { roundTrips(t, quic, "-q", "2", "--streams", "4") })
}

func ngmqPath(t *testing.T) string {
	t.Helper()
	bin, err := ourBinary("NGMQ", "ngmq")
	require.NoError(t, err)
	return bin
}

// trust are the flags for the server's certificate.
func trust(url string) []string {
	if !encrypted(url) {
		return nil
	}
	return []string{"--cafile", broker.ca}
}

// roundTrips has every message come back.
func roundTrips(t *testing.T, url string, flags ...string) {
	t.Helper()
	args := append([]string{"bench", "rtt", "--url", url, "-c", "3", "-n", "10", "--format", "json", "--progress", "0"}, flags...)
	args = append(args, trust(url)...)
	var report struct{ Sent, Received, Failed, Lost int }
	require.NoError(t, json.Unmarshal([]byte(runTool(t, "", ngmqPath(t), args...)), &report))
	assert.Positive(t, report.Sent)
	assert.Equal(t, report.Sent, report.Received)
	assert.Zero(t, report.Failed+report.Lost)
}
