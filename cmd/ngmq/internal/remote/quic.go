//go:build !noquic

package remote

import (
	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/client"
)

// QUICContext is the TLS context for QUIC connections, which the caller closes.
func QUICContext(t *client.TLS) (*crypto.Context, error) {
	return crypto.NewContext(crypto.Config{
		Role: crypto.Client, ALPN: []string{ALPN}, CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile,
		InsecureSkipVerify: t.Insecure, KeyLogFile: t.KeyLogFile,
	})
}
