package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
)

func userLine(t *testing.T, user, password string) string {
	var out bytes.Buffer
	require.NoError(t, (&credential{User: user, Iterations: scram.MinIterations}).Run(strings.NewReader(password), &out))
	return out.String()
}

func usersFile(t *testing.T, text string) string {
	name := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestUsersFile(t *testing.T) {
	users, err := readUsers(usersFile(t, "# people\n\n"+userLine(t, "ada", "secret\n")+strings.ReplaceAll(userLine(t, "a:b", "x\r\ny"), "\n", "\r\n")))
	require.NoError(t, err)
	assert.Len(t, users, 2)
	assert.Contains(t, users, "ada")
	assert.Contains(t, users, "a:b")
	for text, want := range map[string]string{
		"ada:secret\n": "line 1", "\nada:SCRAM-SHA-256$1": "line 2", userLine(t, "ada", "x") + userLine(t, "ada", "y"): "already",
		":SCRAM-SHA-256$4096:AAAA$AAAA:AAAA": "line 1",
	} {
		_, err := readUsers(usersFile(t, text))
		assert.ErrorContains(t, err, want, text)
	}
	_, err = readUsers("nowhere")
	assert.Error(t, err)
	for _, password := range []string{"", "\n", "a\x00"} {
		assert.Error(t, (&credential{User: "ada"}).Run(strings.NewReader(password), &bytes.Buffer{}))
	}
}

func TestScramUsers(t *testing.T) {
	made := command(t, nil, "credential", "ada")
	require.Equal(t, 1, made.status(t), "no password on standard input")
	name := usersFile(t, userLine(t, "ada", "secret"))
	p := command(t, nil, append([]string{"--scram-users", name}, anyPorts...)...)
	addrs := p.ready(t)
	conn, d := connectWith(t, addrs["tcp"], nil)
	ack, err := d.ReadPacket(conn, make([]byte, 1024))
	require.NoError(t, err)
	assert.Equal(t, packet.NotAuthorized, ack.(*packet.Connack).ReasonCode, "no credentials")

	login, err := scram.NewClient("ada", "secret")
	require.NoError(t, err)
	props := packet.AppendString(nil, packet.AuthenticationMethod, scram.Method)
	conn, d = connectWith(t, addrs["tcp"], packet.AppendBinary(props, packet.AuthenticationData, login.First()))
	step, err := d.ReadPacket(conn, make([]byte, 1024))
	require.NoError(t, err)
	assert.Equal(t, packet.ContinueAuthentication, step.(*packet.Auth).ReasonCode)

	well := command(t, nil, "health", "--scram-users", name, "--quic", "off", "--tcp", addrs["tcp"])
	assert.Zero(t, well.status(t), well.stderr.String())
	bad := command(t, nil, "--scram-users", usersFile(t, "x"))
	assert.Equal(t, 1, bad.status(t))
	assert.Contains(t, bad.stderr.String(), "line 1")
}
