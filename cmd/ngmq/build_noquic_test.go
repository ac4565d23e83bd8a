//go:build noquic

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/crypto/devcert"
)

const versionLines = `^ngmq .+\nwithout QUIC \(build tag noquic\)\n$`

// refuseQUIC gives the URLs of no QUIC server.
func refuseQUIC(*testing.T, devcert.Cert) []string { return nil }

func TestQUICIsNotInThisBuild(t *testing.T) {
	got := ngmq(t.Context(), "", "sub", "-t", "a", "-L", "quic://localhost")
	assert.Equal(t, exitUsage, got.status)
	assert.Contains(t, got.stderr, "quic://localhost:14567: this program was built without QUIC (build tag noquic)")
}

// secureURLs are those of the transports with TLS.
func secureURLs(b broker) map[string]string {
	return map[string]string{"tls": "mqtts://" + b.addrs.TLS[0].String()}
}
