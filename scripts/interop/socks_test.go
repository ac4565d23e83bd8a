package interop

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNgmqThroughSOCKS: our tool through microsocks, a SOCKS5 proxy with user and password, over
// every transport that it carries, and beside mosquitto's clients through the same one.
func TestNgmqThroughSOCKS(t *testing.T) {
	proxy := startSOCKS(t, "me", "secret")
	url := "socks5h://me:secret@" + proxy
	other := mosquittoTool(t, localhost(t, broker.tcp), "mqttv5", "")
	for _, argv := range []*[]string{&other.pub, &other.sub} {
		*argv = append(*argv, "--proxy", url)
	}
	for _, k := range [][2]string{
		{"TCP", "mqtt://" + localhost(t, broker.tcp)}, {"TLS", "mqtts://" + localhost(t, broker.tls)},
		{"ws", "ws://" + localhost(t, broker.ws)}, {"wss", "wss://" + localhost(t, broker.wss)},
	} {
		name, server := k[0], k[1]
		path := append(trust(server), "--proxy", url)
		c := ngmqTool(t, "ngmq through microsocks ("+name+")", server, "mqttv5", path...)
		proves(t, c.name, "500 lines in order", func(t *testing.T) { toolLines(t, c) })
		proves(t, c.name, "round trips", func(t *testing.T) { roundTrips(t, server, "-q", "1", "--proxy", url) })
		proves(t, c.name, "ping", func(t *testing.T) {
			out := runTool(t, "", ngmqPath(t), append([]string{"ping", "--url", server}, path...)...)
			assert.Regexp(t, `(?m)^full     proxy \d+\.\d\d ms .* connack \d+\.\d\d ms`, out)
		})
		if name == "TCP" {
			proves(t, c.name, "to mosquitto_sub through it", func(t *testing.T) { exchange(t, c, other) })
			proves(t, c.name, "from mosquitto_pub through it", func(t *testing.T) { exchange(t, other, c) })
		}
	}
	p := start(t, ngmqPath(t), "pub", "--url", "mqtt://"+broker.tcp, "--proxy", "socks5h://me:wrong@"+proxy, "-t", "a", "-m", "x")
	<-p.done
	assert.Equal(t, 14, p.cmd.ProcessState.ExitCode())
	assert.Contains(t, p.stderr.String(), "give the user and the password that the proxy wants")
}

// startSOCKS runs microsocks and gives its address.
func startSOCKS(t *testing.T, user, password string) string {
	t.Helper()
	addr := freePort(t)
	p := start(t, needTool(t, "microsocks", "microsocks"), "-i", "127.0.0.1", "-p", portOf(t, addr), "-u", user, "-P", password)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, patience, 10*time.Millisecond, "microsocks does not listen on %s: %s", addr, p.output())
	return addr
}
