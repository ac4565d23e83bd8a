package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestURL(t *testing.T) {
	for raw, want := range map[string]server{
		"quic://example.com":        {scheme: "quic", host: "example.com", addr: "example.com:14567"},
		"quic://[::1]:99/a/b":       {scheme: "quic", host: "::1", addr: "[::1]:99"},
		"mqtt://h":                  {scheme: "tcp", host: "h", addr: "h:1883"},
		"tcp://u:p@h:1":             {scheme: "tcp", host: "h", addr: "h:1", username: "u", password: []byte("p")},
		"mqtts://u@h":               {scheme: "tls", host: "h", addr: "h:8883", username: "u"},
		"ssl://h:7/":                {scheme: "tls", host: "h", addr: "h:7"},
		"mqtt://u%40x:%3A@h":        {scheme: "tcp", host: "h", addr: "h:1883", username: "u@x", password: []byte(":")},
		"quic://10.0.0.1:14567/t?x": {scheme: "quic", host: "10.0.0.1", addr: "10.0.0.1:14567"},
	} {
		got, err := parseURL(raw)
		assert.NoError(t, err, raw)
		assert.Equal(t, want, got, raw)
	}
	for _, raw := range []string{"", "localhost:1883", "http://h", "quic://", "mqtt://:1883", "mqtt://h:port"} {
		_, err := parseURL(raw)
		assert.Error(t, err, raw)
	}
	_, err := parseURL("http://u:secret@h")
	assert.NotContains(t, err.Error(), "secret")
}

func TestOptionsValidateNamesEveryFault(t *testing.T) {
	o := Options{Servers: []string{"ftp://x"}, Version: 9, ResumeSession: true, KeepAlive: 100 * time.Hour, PingTimeout: -1, ConnectTimeout: -1, TLS: TLS{CertFile: "x"}, Will: &packet.Will{}}
	err := o.Validate()
	for _, part := range []string{"scheme", "Version", "ClientID", "KeepAlive", "PingTimeout", "ConnectTimeout", "CertFile", "Topic"} {
		assert.ErrorContains(t, err, part)
	}
	assert.ErrorContains(t, (&Options{}).Validate(), "Servers")
	_, err = New(Options{Servers: []string{"mqtt://h"}, Will: &packet.Will{Topic: "a/#"}})
	assert.ErrorContains(t, err, "CONNECT")
	_, err = New(Options{Servers: []string{"mqtt://h"}})
	assert.NoError(t, err)
}

// TestOptionsWithoutEncryption: who names a CA does not want clear text.
func TestOptionsWithoutEncryption(t *testing.T) {
	for url, remedy := range map[string]string{"mqtt://h": "mqtts://", "tcp://h:1": "mqtts://", "ws://h": "wss://"} {
		assert.NoError(t, (&Options{Servers: []string{url}}).Validate())
		for _, tls := range []TLS{{CAFile: "ca.pem"}, {CertFile: "c", KeyFile: "k"}} {
			assert.ErrorContains(t, (&Options{Servers: []string{url}, TLS: tls}).Validate(), remedy, url)
			assert.NoError(t, (&Options{Servers: []string{"mqtts://h", url}, TLS: tls}).Validate(), "listed as the last resort")
		}
	}
}

func TestConnectPacketOfEveryVersion(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
		t.Run(v.String(), func(t *testing.T) {
			url, accept := listen(t)
			c, err := New(Options{
				Servers: []string{"mqtt://u:p@" + url[len("mqtt://"):]}, Version: v, ClientID: "me", ResumeSession: true, SessionExpiry: 60,
				ReceiveMaximum: 7, MaxPacketSize: 1000, TopicAliasMaximum: 3, KeepAlive: 1500 * time.Millisecond,
				Will: &packet.Will{Topic: "w", Payload: []byte("gone"), QoS: 1, Retain: true},
			})
			require.NoError(t, err)
			_, p := reconnect(t, c, accept, packet.Connack{})
			defer c.Close()
			assert.Equal(t, v, p.Version)
			assert.Equal(t, "me", p.ClientID)
			assert.False(t, p.CleanStart)
			assert.Equal(t, uint16(2), p.KeepAlive)
			assert.Equal(t, "u", *p.Username)
			assert.Equal(t, []byte("p"), p.Password)
			assert.Equal(t, "w", p.Will.Topic)
			assert.Equal(t, byte(1), p.Will.QoS)
			assert.True(t, p.Will.Retain)
			want := map[packet.PropertyID]uint32{packet.SessionExpiryInterval: 60, packet.ReceiveMaximum: 7, packet.MaximumPacketSize: 1000, packet.TopicAliasMaximum: 3}
			for id, value := range want {
				got, ok := p.Properties.Uint(id)
				assert.Equal(t, v == packet.V50, ok, id)
				if ok {
					assert.Equal(t, value, got, id)
				}
			}
		})
	}
}

func TestConnectDefaults(t *testing.T) {
	c, err := New(Options{Servers: []string{"mqtt://127.0.0.1:1"}, Version: packet.V31})
	require.NoError(t, err)
	assert.Regexp(t, "^ngmq-[0-9a-f]{16}$", c.ClientID())

	url, accept := listen(t)
	c, err = New(Options{Servers: []string{url}})
	require.NoError(t, err)
	defer c.Close()
	ack := packet.Connack{Properties: packet.AppendString(nil, packet.AssignedClientIdentifier, "given")}
	_, p := reconnect(t, c, accept, ack)
	assert.Equal(t, packet.V50, p.Version)
	assert.True(t, p.CleanStart)
	assert.Equal(t, uint16(60), p.KeepAlive)
	assert.Empty(t, p.ClientID)
	assert.Nil(t, p.Username)
	assert.Nil(t, p.Password)
	assert.Nil(t, p.Will)
	assert.Equal(t, "given", c.ClientID())
	assert.Equal(t, ack, c.Connack())
	_, err = c.Connect(within(t))
	assert.ErrorIs(t, err, ErrConnected)
}

func TestConnectRefused(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		url, accept := listen(t)
		result := async(func() error { _, err := Dial(within(t), url, Options{Version: v}); return err })
		s := accept()
		expect[*packet.Connect](s)
		s.send(&packet.Connack{ReasonCode: packet.BadUserNameOrPassword})
		var refusal *ReasonError
		require.ErrorAs(t, <-result, &refusal)
		assert.Equal(t, packet.BadUserNameOrPassword, refusal.Code)
		assert.Equal(t, packet.CONNACK, refusal.Packet)
		s.expectEnd()
	}
}

func TestConnectGivesUpWithItsContext(t *testing.T) {
	url, accept := listen(t)
	ctx, cancel := context.WithCancel(within(t))
	result := async(func() error { _, err := Dial(ctx, url, Options{}); return err })
	s := accept()
	expect[*packet.Connect](s)
	cancel()
	assert.ErrorIs(t, <-result, context.Canceled)
	s.expectEnd()

	_, err := Dial(within(t), url, Options{ConnectTimeout: time.Millisecond}) // nobody accepts
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	c, err := New(Options{Dial: func(context.Context) (net.Conn, error) { // as package net does at times
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}})
	require.NoError(t, err)
	_, err = c.Connect(within(t))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestConnectTriesServersInOrder(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead.Close()
	url, accept := listen(t)
	c, err := New(Options{Servers: []string{"tcp://user:secret@" + dead.Addr().String(), url}})
	require.NoError(t, err)
	reconnect(t, c, accept, packet.Connack{})
	require.NoError(t, c.Close())

	_, err = Dial(within(t), "tcp://user:secret@"+dead.Addr().String(), Options{})
	assert.ErrorContains(t, err, dead.Addr().String())
	assert.NotContains(t, err.Error(), "secret")
}

func TestConnectAnswersOtherThanConnack(t *testing.T) {
	url, accept := listen(t)
	for _, p := range []packet.Packet{&packet.Pingresp{}, &packet.Disconnect{ReasonCode: packet.ServerBusy}} {
		result := async(func() error { _, err := Dial(within(t), url, Options{}); return err })
		s := accept()
		expect[*packet.Connect](s)
		s.send(p)
		assert.Error(t, <-result)
		s.expectEnd()
	}
	result := async(func() error { _, err := Dial(within(t), url, Options{}); return err })
	s := accept()
	expect[*packet.Connect](s)
	s.nc.Close()
	assert.ErrorIs(t, <-result, io.EOF)
}

func TestTLS(t *testing.T) {
	cert, file := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				nc.Read(make([]byte, 100))
				nc.Write([]byte{0x20, 3, 0, 0, 0})
				nc.Read(make([]byte, 100))
			}()
		}
	}()
	url := "mqtts://" + l.Addr().String()
	keys := filepath.Join(t.TempDir(), "keys.log")
	for name, options := range map[string]TLS{
		"CA file and server name": {CAFile: file, ServerName: "broker.test"},
		"insecure":                {Insecure: true},
		"key log":                 {CAFile: file, ServerName: "broker.test", KeyLogFile: keys},
	} {
		c, err := Dial(within(t), url, Options{TLS: options})
		require.NoError(t, err, name)
		assert.NoError(t, c.Disconnect(within(t)))
	}
	for name, options := range map[string]TLS{
		"unknown CA":     {},
		"other name":     {CAFile: file, ServerName: "other.test"},
		"IP not in cert": {CAFile: file},
		"no CA file":     {CAFile: file + ".none"},
		"no key":         {CertFile: file, KeyFile: file},
		"no key log":     {CAFile: file, ServerName: "broker.test", KeyLogFile: t.TempDir()},
	} {
		_, err := Dial(within(t), url, Options{TLS: options})
		assert.Error(t, err, name)
	}
	text, err := os.ReadFile(keys)
	require.NoError(t, err)
	assert.Contains(t, string(text), "CLIENT_TRAFFIC_SECRET_0 ")
}

// selfSigned is a certificate for broker.test and the PEM file that trusts it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"broker.test"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
