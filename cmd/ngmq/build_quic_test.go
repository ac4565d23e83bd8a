//go:build !noquic

package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const versionLines = `^ngmq .+\nngtcp2 \d+\.\d+\.\d+\nOpenSSL \d+\.\d+\.\d+`

// refuseQUIC gives the URLs of a QUIC server whose clients come no further than the handshake.
func refuseQUIC(t *testing.T, cert devcert.Cert) []string {
	ctx, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	t.Cleanup(ctx.Close)
	l, err := endpoint.NewListener(endpoint.Config{TLS: ctx, Addrs: []string{"127.0.0.1:0"}})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return []string{"quic://" + l.Addr().String()}
}
