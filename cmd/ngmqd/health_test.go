package main

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHealth(t *testing.T) {
	p := command(t, nil, anyPorts...)
	addrs := p.ready(t)
	same := []string{"health"}
	for _, transport := range transports {
		same = append(same, "--"+transport, addrs[transport])
	}
	well := command(t, nil, same...)
	assert.Zero(t, well.status(t), well.stderr.String())
	assert.Empty(t, well.stdout.String()+well.stderr.String())

	// One listener of several that does not answer is enough.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ill := command(t, nil, append(same, "--tcp", silent.Addr().String())...)
	assert.Equal(t, 1, ill.status(t))
	assert.Contains(t, ill.stderr.String(), "mqtt://"+silent.Addr().String())
	assert.NotContains(t, ill.stderr.String(), "mqtts://"+addrs["tls"]+":")
	assert.Contains(t, ill.stderr.String(), "give this command the flags and NGMQ_* variables that it was started with")
	assert.Contains(t, ill.stderr.String(), "its log says why")

	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, p.status(t))
	nobody := []string{"health"}
	for _, transport := range transports {
		if transport != "unix" { // others may have the ports by now
			addrs[transport] = deadPort(t, transport)
		}
		nobody = append(nobody, "--"+transport, addrs[transport])
	}
	gone := command(t, nil, nobody...)
	assert.Equal(t, 1, gone.status(t))
	for _, transport := range transports {
		assert.Contains(t, gone.stderr.String(), addrs[transport])
	}
}

// deadPort is a port where nobody listens until the end of the test: a socket that is
// connected to another one holds it.
func deadPort(t *testing.T, transport string) string {
	t.Helper()
	network, other := "udp", "127.0.0.1:9"
	if transport != "quic" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		network, other = "tcp", l.Addr().String()
	}
	c, err := net.Dial(network, other)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

func TestHealthTakesTheEnvironmentOfTheServer(t *testing.T) {
	p := command(t, nil, anyPorts...)
	_, port, err := net.SplitHostPort(p.ready(t)["tcp"])
	require.NoError(t, err)
	env := []string{"NGMQ_QUIC=off", "NGMQ_TCP=0.0.0.0:" + port}
	well := command(t, env, "health")
	assert.Zero(t, well.status(t), well.stderr.String())
}

func TestHealthOfNothing(t *testing.T) {
	for _, args := range [][]string{{"--tcp", "off"}, {"--tcp", "127.0.0.1:0"}, {"--tcp", "nonsense"}} {
		p := command(t, nil, append([]string{"health", "--quic", "off"}, args...)...)
		assert.Equal(t, 1, p.status(t), args)
		assert.NotEmpty(t, p.stderr.String())
	}
}

func TestLocalAddr(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:1": "127.0.0.1:1", ":1": "127.0.0.1:1", "[::]:1": "[::1]:1",
		"192.0.2.1:1": "192.0.2.1:1", "[2001:db8::1]:1": "[2001:db8::1]:1", "localhost:1": "localhost:1",
	} {
		got, err := localAddr(addr)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

// A server that asks for client certificates answers, and is healthy.
func TestHealthWithClientCertificates(t *testing.T) {
	dir := t.TempDir()
	maker := command(t, nil, "--data-dir", dir, "--quic", "off", "--tcp", "off", "--tls", "127.0.0.1:0", "--log-format", "json")
	maker.ready(t)
	ca := filepath.Join(dir, "dev-ca.crt") // any CA will do
	p := command(t, nil, append([]string{"--client-ca", ca, "--cert-username", "cn"}, anyPorts...)...)
	addrs := p.ready(t)
	same := []string{"health", "--client-ca", ca}
	for _, transport := range transports {
		same = append(same, "--"+transport, addrs[transport])
	}
	well := command(t, nil, same...)
	assert.Zero(t, well.status(t), well.stderr.String())
}
