package main

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestNetworkFlags(t *testing.T) {
	b := startServer(t, nil)
	for _, url := range secureURLs(b) {
		for _, flags := range []string{
			"--capath " + filepath.Dir(b.ca), "-A 127.0.0.1 --tls-alpn mqtt --tls-version tlsv1.3 --keyform pem --cafile " + b.ca,
			"--ciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256 --cafile " + b.ca,
		} {
			for _, command := range []string{"pub -t a -m x", "ping", "bench conn"} {
				got := ngmq(t.Context(), "", strings.Fields(command+" -L "+url+" "+flags)...)
				assert.Equal(t, exitOK, got.status, command+" "+flags+got.stderr)
			}
		}
		for _, command := range []string{"pub -t a -m x", "ping", "bench conn"} {
			got := ngmq(t.Context(), "", strings.Fields(command+" -A 192.0.2.1 -L "+url+" --cafile "+b.ca)...)
			assert.NotEqual(t, exitOK, got.status)
			assert.Contains(t, got.stderr, "assign requested address", command+" "+url)
		}
	}
	for flags, want := range map[string]string{
		"-A elsewhere":          "-A: elsewhere is not an address",
		"--capath /none/here":   "--capath: open /none/here",
		"--tls-version tlsv1.1": "not safe",
		"--tls-version ssl":     `"ssl" is not tlsv1.2 or tlsv1.3`,
		"--ciphers HIGH":        `"HIGH" is no cipher suite here: one of ECDHE-ECDSA-AES128-GCM-SHA256, `,
		"--keyform engine":      `must be one of "pem"`,
	} {
		got := ngmq(t.Context(), "", strings.Fields("pub -t a -m x "+flags)...)
		assert.Equal(t, exitUsage, got.status)
		assert.Contains(t, got.stderr, want)
	}
}

// serversOf gives the SRV records of one name.
func serversOf(name string, records ...*net.SRV) lookupSRV {
	return func(_ context.Context, service, proto, domain string) (string, []*net.SRV, error) {
		if full := "_" + service + "._" + proto + "." + domain; full != name {
			return "", nil, &net.DNSError{Err: "no such host", Name: full, IsNotFound: true}
		}
		return name, records, nil
	}
}

func TestSRV(t *testing.T) {
	f := connection{target: target{Host: "example.org"}}
	var o client.Options
	lookup := serversOf("_mqtt._tcp.example.org", &net.SRV{Target: "A.example.org.", Port: 1}, &net.SRV{Target: "b.example.org.", Port: 2})
	require.NoError(t, f.findServers(t.Context(), &o, lookup))
	assert.Equal(t, []string{"mqtt://A.example.org:1", "mqtt://b.example.org:2"}, o.Servers)
	assert.Empty(t, o.TLS.ServerName)

	f.OSCerts = true
	lookup = serversOf("_secure-mqtt._tcp.example.org", &net.SRV{Target: "broker.example.net.", Port: 8883})
	require.NoError(t, f.findServers(t.Context(), &o, lookup))
	assert.Equal(t, []string{"mqtts://broker.example.net:8883"}, o.Servers)
	assert.Equal(t, "example.org", o.TLS.ServerName, "what DNS says does not prove who it is")

	var missing *failed
	err := f.findServers(t.Context(), &o, serversOf("_mqtt._tcp.example.org"))
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, exitNoServer, missing.status)
	assert.ErrorContains(t, err, "no SRV record _secure-mqtt._tcp.example.org: ")
	assert.Error(t, f.findServers(t.Context(), &o, serversOf("_secure-mqtt._tcp.example.org")))

	for _, flags := range []string{"-S", "-S -L mqtt://example.org", "-S -h example.org -p 1883"} {
		assert.Contains(t, ngmq(t.Context(), "", strings.Fields("pub -t a -m x "+flags)...).stderr, "-S ")
	}
}

func TestTopicAliases(t *testing.T) {
	b := startLoopback(t)
	b.connack = packet.AppendUint16(nil, packet.TopicAliasMaximum, 5)
	args := append([]string{"pub", "-t", "a/long/topic", "-m", "x", "--repeat", "3", "-q", "1", "-D", "publish", "topic-alias", "7", "-D", "publish", "content-type", "text"}, b.host()...)
	require.Equal(t, result{}, ngmq(t.Context(), "", args...))
	b.wait(func() bool { return len(b.messages) == 3 })
	for i, m := range b.messages {
		alias, _ := b.properties[i].Uint(packet.TopicAlias)
		assert.EqualValues(t, 1, alias)
		assert.Equal(t, map[bool]string{true: "a/long/topic"}[i == 0], string(m.Topic))
		assert.True(t, b.properties[i].Has(packet.ContentType))
	}
	got := ngmq(t.Context(), "", strings.Fields("pub -t a -m x -D publish topic-alias 0")...)
	assert.Equal(t, exitUsage, got.status)
}

func TestUnsubscribeProperties(t *testing.T) {
	b := startLoopback(t)
	args := append([]string{"sub", "-U", "a/b", "-E", "-D", "unsubscribe", "user-property", "who", "me"}, b.host()...)
	require.Equal(t, result{}, ngmq(t.Context(), "", args...))
	b.wait(func() bool { return len(b.unsubscribes) == 1 })
	p := b.unsubscribes[0]
	assert.Equal(t, []string{"a/b"}, p.Filters)
	assert.Equal(t, packet.AppendUserProperty(nil, "who", "me"), p.Properties)
}

// packetLines are the lines of -d about packets.
func packetLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Client ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestDebugShowsPackets(t *testing.T) {
	b := startLoopback(t)
	sub := start(t, t.Context(), append([]string{"sub", "-d", "-i", "watcher", "-t", "a/+", "-t", "b", "-q", "1", "-U", "old", "--no-local", "-C", "2", "-P", "geheim"}, b.host()...)...)
	b.subscribers(2)
	for qos := range 3 {
		if qos == 2 { // sub has had enough
			got := <-sub
			golden(t, "debug/sub.txt", packetLines(got.stderr))
			assert.NotContains(t, got.stderr, "geheim")
		}
		got := ngmq(t.Context(), "", append([]string{"pub", "-d", "-i", "talker", "-t", "a/b", "-m", "secret", "-r", "-q", strconv.Itoa(qos)}, b.host()...)...)
		require.Equal(t, exitOK, got.status)
		golden(t, "debug/pub"+strconv.Itoa(qos)+".txt", packetLines(got.stderr))
		assert.NotContains(t, got.stderr, "secret")
	}
	b.connack = packet.AppendString(nil, packet.AssignedClientIdentifier, "given\x1b[2J")
	got := ngmq(t.Context(), "", append([]string{"pub", "-d", "-t", "a/\x07b", "-n"}, b.host()...)...)
	assert.Contains(t, got.stderr, "Client (null) sending CONNECT\nClient given.[2J received CONNACK (0)\n", "no control characters")
	assert.Contains(t, got.stderr, "'a/.b', ... (0 bytes)")
}

func TestErrorsOfRefusedFlags(t *testing.T) {
	for flags, want := range map[string]string{
		"--streams 0":             "--streams must be 1",
		"--streams 2 --stream a":  "not both",
		"--early-data perhaps":    `must be one of "off","auto","on"`,
		"--stream-by name":        `must be one of "topic","qos"`,
		"--session-file /":        "not a regular file",
		"-D unsubscribe topic x":  "unsubscribe has no property",
		"-D publish topic-alias ": "COMMAND NAME VALUE",
	} {
		got := ngmq(t.Context(), "", strings.Fields("pub -t a -m x -L mqtt://127.0.0.1:1 "+flags)...)
		assert.NotEqual(t, exitOK, got.status, flags)
		assert.Contains(t, got.stderr, want, flags)
	}
}

// A broker that sends its clients elsewhere, when they come or later.
func TestFollowReference(t *testing.T) {
	second := startLoopback(t)
	first := startLoopback(t)
	reference := packet.AppendString(nil, packet.ServerReference, second.addr)
	first.refuse, first.connack = packet.UseAnotherServer, reference
	got := ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-m", "x"}, first.host()...)...)
	assert.Equal(t, exitRefused, got.status)
	assert.Contains(t, got.stderr, "let --follow-reference do so")

	follow := append([]string{"--follow-reference"}, first.host()...)
	sub := start(t, t.Context(), append([]string{"sub", "-t", "#", "-C", "2"}, follow...)...)
	second.subscribers(1)
	assert.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-m", "x"}, follow...)...))
	got = ngmq(t.Context(), "pub a y\n", append([]string{"shell", "-u", "me", "-P", "pw"}, follow...)...)
	assert.Equal(t, exitOK, got.status, got.stderr)
	assert.Equal(t, result{stdout: "x\ny\n"}, <-sub)
	assert.Equal(t, "pw", string(second.connects[2].Password), "the same user")

	later := startLoopback(t)
	sub = start(t, t.Context(), append([]string{"sub", "-t", "#", "-C", "1", "--reconnect", "--follow-reference"}, later.host()...)...)
	later.subscribers(1)
	later.update(func() {
		for c := range later.conns {
			c.send(&packet.Disconnect{ReasonCode: packet.ServerMoved, Properties: reference})
			c.nc.Close()
		}
	})
	second.subscribers(1)
	assert.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-m", "z"}, second.host()...)...))
	got = <-sub
	assert.Equal(t, "z\n", got.stdout)
	assert.Equal(t, exitOK, got.status)
	assert.Contains(t, got.stderr, "Server moved")
}
