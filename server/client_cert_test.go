package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	mqttclient "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// clientCA makes certificates of clients.
type clientCA struct {
	t    *testing.T
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClientCA(t *testing.T) *clientCA {
	ca := &clientCA{t: t, dir: t.TempDir()}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	ca.cert, ca.key = ca.sign(template)
	ca.file = ca.write("ca.crt", "CERTIFICATE", ca.cert.Raw)
	return ca
}

// sign issues a certificate; the first one signs itself.
func (ca *clientCA) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(ca.t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(ca.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(ca.t, err)
	return cert, key
}

func (ca *clientCA) write(name, kind string, der []byte) string {
	file := filepath.Join(ca.dir, name)
	require.NoError(ca.t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return file
}

// client gives the files of a client's certificate.
func (ca *clientCA) client(name string, template x509.Certificate) mqttclient.TLS {
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	cert, key := ca.sign(&template)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(ca.t, err)
	return mqttclient.TLS{CertFile: ca.write(name+".crt", "CERTIFICATE", cert.Raw), KeyFile: ca.write(name+".key", "PRIVATE KEY", der)}
}

// secureURLs are the addresses of a server at which there are client certificates.
func secureURLs(s *running) map[string]string {
	a := s.Addrs()
	urls := map[string]string{"tls": "mqtts://" + a.TLS[0].String(), "wss": "wss://" + a.WSS[0].String()}
	if slices.Contains(transports, "quic") {
		urls["quic"] = "quic://" + a.QUIC[0].String()
	}
	return urls
}

// knockWith connects with a certificate and disconnects.
func knockWith(t *testing.T, s *running, url string, id mqttclient.TLS, username string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), mqtttest.Patience)
	defer cancel()
	id.CAFile = s.CAFile()
	c, err := mqttclient.Dial(ctx, url, mqttclient.Options{TLS: id, Username: username})
	if err == nil {
		err = c.Disconnect(ctx)
	}
	return err
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca := newClientCA(t)
	uri, err := url.Parse("urn:device:7")
	require.NoError(t, err)
	alice := ca.client("alice", x509.Certificate{
		Subject: pkix.Name{CommonName: "alice", Organization: []string{"Wonderland"}}, DNSNames: []string{"alice.example", "a.example"},
		EmailAddresses: []string{"alice@example.org"}, URIs: []*url.URL{uri},
	})
	nobody := ca.client("nobody", x509.Certificate{Subject: pkix.Name{Organization: []string{"Nobody"}}})
	device := ca.client("device", x509.Certificate{URIs: []*url.URL{uri}})
	stranger := newClientCA(t).client("alice", x509.Certificate{Subject: pkix.Name{CommonName: "alice"}})

	for how, want := range map[server.CertUsername]string{
		server.CertUsernameOff: "claimed", server.CertUsernameCN: "alice", server.CertUsernameSAN: "alice.example", server.CertUsernameDN: "CN=alice,O=Wonderland",
	} {
		for _, when := range []server.ClientCert{server.ClientCertRequired, server.ClientCertOptional} {
			t.Run(how.String()+" "+when.String(), func(t *testing.T) {
				seen := make(chan *server.Client, 1)
				s := start(t, server.Config{
					ClientCAFile: ca.file, ClientCert: when, CertUsername: how, QUIC: anyQUIC, TLS: anyPort, WSS: anyPort, TCP: []string{server.Off},
					Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error { seen <- e.Client; return nil }},
				})
				for transport, url := range secureURLs(s) {
					require.NoError(t, knockWith(t, s, url, alice, "claimed"), transport)
					c := <-seen
					assert.Equal(t, transport, c.Conn.Transport)
					assert.Equal(t, want, c.Username)
					peer := c.Conn.TLS
					assert.True(t, peer.PeerVerified)
					assert.Equal(t, "CN=alice,O=Wonderland", peer.PeerIdentity)
					assert.Equal(t, "alice", peer.PeerCommonName)
					assert.Equal(t, []string{"alice.example", "a.example"}, peer.PeerDNSNames)
					assert.Equal(t, []string{"alice@example.org"}, peer.PeerEmails)
					assert.Equal(t, []string{"urn:device:7"}, peer.PeerURIs)

					assert.Error(t, knockWith(t, s, url, stranger, ""), "a certificate of another CA")
					err := knockWith(t, s, url, mqttclient.TLS{}, "claimed")
					if when == server.ClientCertRequired {
						require.Error(t, err)
						assert.Regexp(t, "certificate required|TLS alert 116", err.Error(), transport)
					} else {
						require.NoError(t, err)
						c := <-seen
						assert.Equal(t, "claimed", c.Username)
						assert.False(t, c.Conn.TLS.PeerVerified)
					}
					assert.Empty(t, seen)
				}
			})
		}
	}
	t.Run("names that are not there", func(t *testing.T) {
		s := start(t, server.Config{ClientCAFile: ca.file, CertUsername: server.CertUsernameCN, QUIC: anyQUIC, TLS: anyPort, WSS: anyPort, TCP: []string{server.Off}})
		for _, url := range secureURLs(s) {
			assert.ErrorContains(t, knockWith(t, s, url, nobody, "alice"), "no usable name")
			assert.ErrorContains(t, knockWith(t, s, url, device, "alice"), "no usable name")
		}
		s = start(t, server.Config{ClientCAFile: ca.file, CertUsername: server.CertUsernameSAN, QUIC: anyQUIC, TLS: anyPort, WSS: anyPort, TCP: []string{server.Off}})
		assert.NoError(t, knockWith(t, s, secureURLs(s)["tls"], device, ""))
	})
}

func TestValidateClientCertificates(t *testing.T) {
	ca := newClientCA(t)
	public := []string{"0.0.0.0:0"}
	require.NoError(t, server.Config{TLS: public, WSS: public, ClientCAFile: ca.file}.Validate(), "strangers are checked")
	garbage := ca.write("garbage", "NOTHING", nil)
	for want, cfg := range map[string]server.Config{
		"other machines": {TLS: public, ClientCAFile: ca.file, ClientCert: server.ClientCertOptional},
		"TCP \"0.0.0.0":  {TCP: public, ClientCAFile: ca.file},
		"--client-ca":    {ClientCert: server.ClientCertOptional},
		"there is no CA": {CertUsername: server.CertUsernameCN},
		"no certificate": {ClientCAFile: garbage},
		"no such file":   {ClientCAFile: "/nowhere.crt"},
		"unknown":        {ClientCAFile: ca.file, CertUsername: 99},
	} {
		assert.ErrorContains(t, cfg.Validate(), want)
	}
}
