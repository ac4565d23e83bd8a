package client

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// TestTLSResumption: in one client, and from file to the next one.
func TestTLSResumption(t *testing.T) {
	cert, ca := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	require.NoError(t, err)
	defer l.Close()
	accept := func() *peer {
		nc, err := l.Accept()
		require.NoError(t, err)
		return newPeer(t, nc)
	}
	resumed := func(o TLS, c *Client) (*Client, bool) {
		if c == nil {
			o.CAFile, o.ServerName = ca, "broker.test"
			c, err = New(Options{Servers: []string{"mqtts://" + l.Addr().String()}, TLS: o})
			require.NoError(t, err)
		}
		s, _ := reconnect(t, c, accept, packet.Connack{})
		state := s.nc.(*tls.Conn).ConnectionState()
		result := async(func() error { return c.Disconnect(within(t)) })
		expect[*packet.Disconnect](s)
		s.nc.Close()
		require.NoError(t, receive(t, result))
		return c, state.DidResume
	}
	file := filepath.Join(t.TempDir(), "sessions")
	c, did := resumed(TLS{SessionFile: file}, nil)
	assert.False(t, did)
	_, did = resumed(TLS{}, c)
	assert.True(t, did, "the same client")
	_, did = resumed(TLS{SessionFile: file}, nil)
	assert.True(t, did, "the next program")
	c, did = resumed(TLS{NoResumption: true}, nil)
	assert.False(t, did)
	_, did = resumed(TLS{}, c)
	assert.False(t, did)

	require.NoError(t, os.Chmod(file, 0o644))
	_, err = New(Options{Servers: []string{url0}, TLS: TLS{SessionFile: file}})
	assert.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err = New(Options{Servers: []string{url0}, TLS: TLS{SessionFile: file}})
	assert.ErrorContains(t, err, "SessionFile")
	_, err = New(Options{Servers: []string{url0}, TLS: TLS{SessionFile: file, NoResumption: true}})
	assert.ErrorContains(t, err, "NoResumption")
	_, err = New(Options{Servers: []string{url0}, TLS: TLS{EarlyData: 7}})
	assert.ErrorContains(t, err, "EarlyData")
}

func TestSessionsAreBounded(t *testing.T) {
	s, err := openSessions("", nil)
	require.NoError(t, err)
	for i := range 3 * maxSessions {
		s.change(string(rune('a'+i)), func(r *rememberedServer) { r.Token = []byte{1} })
	}
	assert.Len(t, s.servers, maxSessions)
	for key := range s.servers {
		assert.NotNil(t, s.take(key).Token)
		assert.Nil(t, s.take(key).Token, "a token is for one use")
	}
}

// TestSessionFileThatCannotBeWritten is told, and nothing else.
func TestSessionFileThatCannotBeWritten(t *testing.T) {
	errs := make(chan error, 1)
	s, err := openSessions(filepath.Join(t.TempDir(), "none", "file"), func(err error) { errs <- err })
	require.NoError(t, err)
	s.change("a", func(*rememberedServer) {})
	assert.ErrorContains(t, receive(t, errs), "SessionFile")
}

// What a program that has ended in the middle has left gives nothing of its mode to the files.
func TestFilesArePrivateAfterACrash(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	left := file + ".new"
	require.NoError(t, os.WriteFile(left, []byte("of before"), 0o600))
	require.NoError(t, os.Chmod(left, 0o666))
	s, err := openSessions(file, func(err error) { assert.NoError(t, err) })
	require.NoError(t, err)
	s.servers["h"], s.dirty = rememberedServer{Token: []byte{1}}, true
	s.save()
	s, err = openSessions(file, nil)
	require.NoError(t, err, "for nobody else")
	assert.Equal(t, []byte{1}, s.take("h").Token)

	require.NoError(t, os.WriteFile(left, []byte("of before"), 0o600))
	require.NoError(t, os.Chmod(left, 0o666))
	f, err := createLocked(left) // of Queue.File
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.Zero(t, info.Size())
}

func TestEarlyDataAuto(t *testing.T) {
	quic, err := parseURL("tcp://h")
	require.NoError(t, err)
	quic.scheme = "quic"
	user := quic
	user.password = []byte("p")
	for _, k := range []struct {
		want bool
		srv  server
		o    Options
	}{
		{true, quic, Options{ClientID: "a", ResumeSession: true}},
		{false, quic, Options{}},
		{false, user, Options{ClientID: "a", ResumeSession: true}},
		{false, server{scheme: "tls"}, Options{ClientID: "a", ResumeSession: true}},
		{false, quic, Options{ClientID: "a", ResumeSession: true, Password: []byte("p")}},
		{false, quic, Options{ClientID: "a", ResumeSession: true, Auth: SCRAM("a", "b")}},
		{false, quic, Options{ClientID: "a", ResumeSession: true, Will: &packet.Will{Topic: "w"}}},
	} {
		k.o.Servers, k.o.TLS.EarlyData = []string{url0}, EarlyDataAuto
		c, err := New(k.o)
		require.NoError(t, err)
		assert.Equal(t, k.want, c.mayBeEarly(k.srv), "%+v", k.o)
		c.opts.TLS.EarlyData = EarlyDataOn
		assert.Equal(t, k.srv.scheme == "quic", c.mayBeEarly(k.srv))
	}
}
