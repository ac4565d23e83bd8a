package interop

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// What quiche, or its npm package, does not do.
const (
	noteQuicheSessions = "@matrixai/quic hands out no sessions"
	noteQuicheV1       = "quiche speaks version 1 only"
)

// quicheColumns are run by TestQuicheMatrix, with the build tag quiche.
func quicheColumns() []column {
	return []column{{
		name:  "quiche -> ngmq",
		dial:  func(t *testing.T, addr string) conn { return dialQuiche(t, addr) },
		serve: serveEchoOurs,
		cells: map[string]cell{
			"multiplexing":        cannot("this client on quiche opens one stream"),
			"chacha20":            {run: quicheChacha20},
			"retry":               {run: quicheRetry},
			"NEW_TOKEN":           cannot("quiche keeps no tokens"),
			"resumption":          cannot(noteQuicheSessions),
			"zerortt":             cannot(noteQuicheSessions),
			"zerortt rejected":    cannot(noteQuicheSessions),
			"keyupdate":           {run: quicheKeyUpdate, note: "ours only: quiche starts none"},
			"ecn":                 cannot("@matrixai/quic marks no packets"),
			"v2":                  cannot(noteQuicheV1),
			"versionnegotiation":  cannot(noteQuicheV1),
			"connectionmigration": cannot("@matrixai/quic has no migration"),
			"preferred address":   {run: func(t *testing.T) { staysAtAddress(t, quicheColumns()[0]) }, note: noteStays},
			"datagrams":           cannot("@matrixai/quic has no datagrams"),
			"stateless reset":     cannot("@matrixai/quic gives quiche only datagrams with Connection IDs that it knows"),
		},
	}}
}

// dialQuiche is a client on quiche with a stream to an echo server.
func dialQuiche(t *testing.T, addr string) processMux {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return dialProcess(t, needTool(t, "node", "nodejs"), filepath.Join("quiche", "client.mjs"), host, port, certFile(caName+".crt"), echoALPN)
}

func quicheChacha20(t *testing.T) {
	s := echoOurs(t, serverOptions{}, onlyChacha20)
	quicheColumns()[0].exchange(t, s.addr(), 100_000)
	assert.Equal(t, chacha20, serverTLSState(t, s.conn(t)).CipherSuite)
}

func quicheRetry(t *testing.T) {
	s := echoOurs(t, serverOptions{}, alwaysRetry)
	quicheColumns()[0].exchange(t, s.addr(), 100)
	assert.NotZero(t, s.count(t, endpoint.Retries))
}

func quicheKeyUpdate(t *testing.T) { ourKeyUpdates(t, quicheColumns()[0]) }
