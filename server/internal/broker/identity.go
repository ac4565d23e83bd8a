package broker

import (
	"crypto/x509"
	"strings"
	"unicode/utf8"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// SetPeer notes the client certificate of a handshake that has verified it.
func (i *TLSInfo) SetPeer(leaf *x509.Certificate) {
	i.PeerVerified = true
	i.PeerIdentity, i.PeerCommonName = leaf.Subject.String(), leaf.Subject.CommonName
	i.PeerDNSNames, i.PeerEmails = leaf.DNSNames, leaf.EmailAddresses
	for _, u := range leaf.URIs {
		i.PeerURIs = append(i.PeerURIs, u.String())
	}
}

// nameByCertificate makes the identity in a verified client certificate the user name, in
// place of what the CONNECT says. A certificate without that identity, or with one that
// is no MQTT string, is refused.
func (c *Client) nameByCertificate() error {
	name, t := c.b.cfg.CertUsername, c.info.Conn.TLS
	if name == nil || t == nil || !t.PeerVerified || c.early != nil { // the handlers have c.info already
		return nil
	}
	c.info.Username = name(t)
	if u := c.info.Username; u == "" || len(u) > maxString || !utf8.ValidString(u) || strings.ContainsRune(u, 0) {
		return &Error{Code: packet.NotAuthorized, Reason: "the client certificate has no usable name"}
	}
	return nil
}

// maxString is the size of an MQTT string (MQTT 5.0 section 1.5.4).
const maxString = 65535
