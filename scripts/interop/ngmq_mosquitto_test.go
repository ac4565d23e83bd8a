package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNgmqWithMosquittoBroker: our client against a broker that is not ours, over TCP and TLS.
func TestNgmqWithMosquittoBroker(t *testing.T) {
	tcp, tls, _ := startMosquitto(t)
	for _, version := range versions {
		toolCases(t, ngmqTool(t, "ngmq "+version+" -> mosquitto broker (TCP)", "mqtt://"+tcp, version))
		toolCases(t, ngmqTool(t, "ngmq "+version+" -> mosquitto broker (TLS)", "mqtts://"+localhost(t, tls), version, "--cafile", broker.ca))
	}
}

// TestOurClientWithMosquittoBroker: our client library over TCP, TLS and WebSocket.
func TestOurClientWithMosquittoBroker(t *testing.T) {
	tcp, tls, ws := startMosquitto(t)
	for _, s := range []stack{
		ngmqAt("ngmq client with mosquitto (TCP)", "mqtt://"+tcp),
		ngmqAt("ngmq client with mosquitto (TLS)", "mqtts://"+tls),
		ngmqAt("ngmq client with mosquitto (WebSocket)", "ws://"+ws+"/mqtt"),
	} {
		for _, c := range libraryCases {
			if strings.Contains(s.name, "WebSocket") && c.name == "1 MB messages" {
				continue // mosquitto 2.0.11 loses them, with Paho's WebSocket too
			}
			proves(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
		}
	}
}

// startMosquitto runs a mosquitto broker that uses the certificate of our broker.
func startMosquitto(t *testing.T) (tcp, tls, ws string) {
	t.Helper()
	tcp, tls, ws = freePort(t), freePort(t), freePort(t)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("allow_anonymous true\nuser root\nper_listener_settings false\n"+
		"listener %s 127.0.0.1\nlistener %s 127.0.0.1\nprotocol websockets\nlistener %s 127.0.0.1\ncertfile %s\nkeyfile %s\n",
		portOf(t, tcp), portOf(t, ws), portOf(t, tls), filepath.Join(broker.dir, "dev.crt"), filepath.Join(broker.dir, "dev.key"))
	require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
	p := start(t, needTool(t, "mosquitto", "mosquitto"), "-c", conf)
	for _, addr := range []string{tcp, tls, ws} {
		require.Eventually(t, func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}, patience, 10*time.Millisecond, "mosquitto does not listen on %s: %s", addr, p.output())
	}
	return tcp, tls, ws
}

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return port
}
