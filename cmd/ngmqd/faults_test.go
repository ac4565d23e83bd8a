package main

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestInjectFault(t *testing.T) {
	p := command(t, nil, append([]string{"--inject-fault", "connack=5"}, anyPorts...)...)
	conn, err := net.Dial("tcp", p.ready(t)["tcp"])
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	_, err = conn.Write((&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V311))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Equal(t, []byte{0x20, 2, 0, 5}, answer)
	assert.Contains(t, p.stderr.String(), "misbehaves on purpose")
}

// No variable of the environment injects a fault, and no flag alone where others reach
// the server.
func TestFaultsAreNoAccident(t *testing.T) {
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{[]string{"NGMQ_INJECT_FAULT=short-publish"}, nil, "unknown environment variable NGMQ_INJECT_FAULT"},
		{nil, []string{"--inject-fault", "nonsense"}, "is no fault"},
		{nil, []string{"--inject-fault", "short-publish", "--tcp", "0.0.0.0:0", "--allow-anonymous"}, "--inject-fault-in-public"},
	} {
		p := command(t, c.env, append(c.args, anyPorts...)...)
		assert.Equal(t, 1, p.status(t))
		assert.Contains(t, p.stderr.String(), c.want)
	}
	p := command(t, nil, append([]string{"--inject-fault", "short-publish", "--inject-fault-in-public", "--tcp", "0.0.0.0:0", "--allow-anonymous"}, anyPorts...)...)
	p.ready(t)
}
