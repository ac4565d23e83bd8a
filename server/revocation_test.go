package server_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	mqttclient "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// revoke writes a list of what ca has revoked, which is valid until end.
func (ca *clientCA) revoke(file string, end time.Time, ids ...mqttclient.TLS) {
	ca.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: end}
	for _, id := range ids {
		pair, err := tls.LoadX509KeyPair(id.CertFile, id.KeyFile)
		require.NoError(ca.t, err)
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: pair.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	require.NoError(ca.t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	require.NoError(ca.t, os.WriteFile(file+".new", text, 0o600))
	require.NoError(ca.t, os.Rename(file+".new", file))
}

// starting is a server that looks at its files all the time.
func starting(t *testing.T, cfg server.Config) *running {
	t.Helper()
	cfg.DataDir = certificates()
	making.Lock()
	s, err := server.New(cfg)
	making.Unlock()
	require.NoError(t, err)
	s.PollFiles(time.Millisecond)
	return run(t, s)
}

// A certificate that is revoked while the server runs is refused on all transports, others
// are not; and without a valid list of their CA all are.
func TestRevokedCertificates(t *testing.T) {
	t.Parallel()
	ca := newClientCA(t)
	alice := ca.client("alice", x509.Certificate{Subject: pkix.Name{CommonName: "alice"}})
	bob := ca.client("bob", x509.Certificate{Subject: pkix.Name{CommonName: "bob"}})
	file, later := filepath.Join(t.TempDir(), "crl"), time.Now().Add(time.Hour)
	ca.revoke(file, later)
	s := starting(t, server.Config{ClientCAFile: ca.file, ClientCRLFile: file, QUIC: anyQUIC, TLS: anyPort, WSS: anyPort, TCP: []string{server.Off}})
	knock := func(id mqttclient.TLS) (refused int) {
		for _, url := range secureURLs(s) {
			if knockWith(t, s, url, id, "") != nil {
				refused++
			}
		}
		return refused
	}
	everywhere := len(secureURLs(s))
	require.Zero(t, knock(alice)+knock(bob))
	resuming := resumingTLS(t, s, alice)
	require.NoError(t, resuming(false))
	require.NoError(t, resuming(true))

	ca.revoke(file, later, alice)
	require.Eventually(t, func() bool { return knock(alice) == everywhere }, mqtttest.Patience, time.Millisecond)
	assert.Zero(t, knock(bob))
	assert.Error(t, resuming(true), "its session is worth nothing")

	ca.revoke(file, time.Now().Add(-time.Hour))
	require.Eventually(t, func() bool { return knock(bob) == everywhere }, mqtttest.Patience, time.Millisecond, "the list has expired")
	newClientCA(t).revoke(file, later)
	assert.Equal(t, everywhere, knock(bob), "the list is of another CA")
	require.NoError(t, os.Remove(file))
	ca.revoke(file, later)
	require.Eventually(t, func() bool { return knock(alice)+knock(bob) == 0 }, mqtttest.Patience, time.Millisecond)
}

// resumingTLS connects over TLS, with the session of the time before.
func resumingTLS(t *testing.T, s *running, id mqttclient.TLS) func(resumed bool) error {
	pair, err := tls.LoadX509KeyPair(id.CertFile, id.KeyFile)
	require.NoError(t, err)
	cfg := &tls.Config{RootCAs: roots(t, s.Server), Certificates: []tls.Certificate{pair}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	return func(resumed bool) error {
		ctx, cancel := context.WithTimeout(t.Context(), mqtttest.Patience)
		defer cancel()
		conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", s.Addrs().TLS[0].String())
		if err != nil {
			return err
		}
		defer conn.Close()
		assert.Equal(t, resumed, conn.(*tls.Conn).ConnectionState().DidResume)
		conn.SetDeadline(time.Now().Add(mqtttest.Patience))
		if _, err = conn.Write([]byte("\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02hi")); err != nil { // CONNECT
			return err
		}
		_, err = conn.Read(make([]byte, 10))
		return err
	}
}

func TestRevocationListsAreChecked(t *testing.T) {
	ca := newClientCA(t)
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	garbage := ca.write("garbage", "X509 CRL", []byte{1})
	for file, want := range map[string]string{"none": "no such file", empty: "no list in PEM", garbage: "list 1"} {
		err := server.Config{ClientCAFile: ca.file, ClientCRLFile: file}.Validate()
		require.ErrorContains(t, err, "ClientCRLFile", file)
		assert.ErrorContains(t, err, want, file)
	}
	assert.ErrorContains(t, server.Config{ClientCRLFile: garbage}.Validate(), "--client-ca")
}
