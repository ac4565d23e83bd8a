package client

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// socksProxy takes one connection as a SOCKS5 proxy with user and password does (RFC 1928,
// RFC 1929), and leads it to target, whatever it was asked for. asked gets user, password,
// and the name and port of the server.
func socksProxy(t *testing.T, target string) (addr string, asked <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	ch := make(chan string, 1)
	go func() {
		nc, err := l.Accept()
		if !assert.NoError(t, err) {
			return
		}
		defer nc.Close()
		ch <- greetSocks(nc)
		to, err := net.Dial("tcp", target)
		if !assert.NoError(t, err) {
			return
		}
		defer to.Close()
		nc.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 1})
		go io.Copy(to, nc)
		io.Copy(nc, to)
	}()
	return l.Addr().String(), ch
}

// greetSocks is the way to the request, which has a name.
func greetSocks(nc net.Conn) string {
	read := func(n byte) []byte {
		b := make([]byte, n)
		io.ReadFull(nc, b)
		return b
	}
	read(read(2)[1]) // methods
	nc.Write([]byte{5, 2})
	user := read(read(2)[1])
	password := read(read(1)[0])
	nc.Write([]byte{1, 0})
	name := read(read(5)[4])
	port := read(2)
	return string(user) + " " + string(password) + " " + string(name) + " " + strconv.Itoa(int(port[0])<<8+int(port[1]))
}

// The proxy gets the name, which this host does not know, and QUIC is not tried.
func TestProxy(t *testing.T) {
	url, accept := listen(t)
	addr, asked := socksProxy(t, strings.TrimPrefix(url, "mqtt://"))
	c, err := New(Options{Servers: []string{"mqtt://broker.invalid:1234"}, Proxy: "socks5h://me:p%40ss@" + addr, FollowReference: true})
	require.NoError(t, err)
	elsewhere := &ReasonError{Packet: packet.CONNACK, Code: packet.UseAnotherServer,
		Properties: packet.AppendString(nil, packet.ServerReference, "quic://elsewhere mqtts://elsewhere")}
	assert.Equal(t, []string{"mqtts://elsewhere"}, c.followable(elsewhere, "mqtt://here"))
	reconnect(t, c, accept, packet.Connack{})
	assert.Equal(t, "me p@ss broker.invalid 1234", <-asked)
	c.Close()
}

func TestProxyOfDialer(t *testing.T) {
	url, accept := listen(t)
	addr, asked := socksProxy(t, strings.TrimPrefix(url, "mqtt://"))
	d := Dialer{Proxy: "socks5h://me:pw@" + addr}
	nc, err := d.Dial(within(t), "tcp://broker.invalid")
	require.NoError(t, err)
	defer nc.Close()
	assert.Equal(t, "me pw broker.invalid 1883", <-asked)
	accept()
	_, err = d.Dial(within(t), "quic://h")
	assert.ErrorContains(t, err, "UDP ASSOCIATE")
}

func TestProxyOptions(t *testing.T) {
	for raw, want := range map[string]string{
		"socks5h://h": "h:1080", "socks5h://[::1]:9/": "[::1]:9",
		"socks5://h": "socks5h://[user", "socks5h://": "socks5h://[user", "socks5h://h/path": "socks5h://[user", "h:1080": "socks5h://[user",
		"socks5h://:secret@h": "1 to 255 bytes",
		"socks5h://u:secret" + strings.Repeat("x", 256) + "@h": "1 to 255 bytes",
		"socks5h://u:secret@h:port":                            "invalid port",
	} {
		p, err := parseProxy(raw)
		if err != nil {
			assert.ErrorContains(t, err, want)
			assert.NotContains(t, err.Error(), "secret")
			continue
		}
		assert.Equal(t, want, p.addr)
	}
	assert.ErrorContains(t, (&Options{Servers: []string{"unix:///s"}, Proxy: "socks5h://h"}).Validate(), "Proxy leads to")
	assert.ErrorContains(t, (&Options{Dial: func(context.Context) (net.Conn, error) { return nil, nil }, Proxy: "socks5h://h"}).Validate(), "Dial")
}
