package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto/devcert"
	mqtt "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/server"
)

// An embedded server without a data directory can be verified all the same.
func TestCAWithoutDataDir(t *testing.T) {
	s, err := server.New(server.Config{QUIC: []string{server.Off}, TCP: []string{server.Off}, TLS: []string{"127.0.0.1:0"}})
	require.NoError(t, err)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	assert.Empty(t, s.CAFile())
	assert.Equal(t, 1, strings.Count(string(s.CA()), "BEGIN CERTIFICATE"))
	url := "mqtts://" + s.Addrs().TLS[0].String()
	c, err := mqtt.Dial(ctx, url, mqtt.Options{TLS: mqtt.TLS{CAPEM: s.CA()}})
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(ctx))
	_, err = mqtt.Dial(ctx, url, mqtt.Options{})
	require.ErrorContains(t, err, "certificate")
	stop()
	require.NoError(t, <-ended)

	cert, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	own, err := server.New(server.Config{QUIC: []string{server.Off}, TCP: []string{server.Off}, TLS: []string{"127.0.0.1:0"}, CertFile: cert.CertFile, KeyFile: cert.KeyFile})
	require.NoError(t, err)
	assert.Nil(t, own.CA())
	require.NoError(t, own.Shutdown(t.Context()))
}
