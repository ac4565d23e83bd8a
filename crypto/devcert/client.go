package devcert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"regexp"
	"time"
)

// clientName is what the name of a client may be: it becomes the name of files.
var clientName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// GenerateClient makes a client certificate (825 days) with the common name given,
// NAME.crt and NAME.key in dir, signed by the CA that Generate has put there. The
// name is 1 to 64 letters, digits and the characters . _ @ and -, and starts with a
// letter or digit. One that is there and still good for a week is used again.
func GenerateClient(dir, name string) (Cert, error) {
	if !clientName.MatchString(name) || name+".crt" == certFile || name+".crt" == caFile {
		return Cert{}, fmt.Errorf("devcert: client name %q: use letters, digits and . _ @ - (not dev, dev-ca)", name)
	}
	d := directory{path: dir, now: time.Now()}
	ca, err := d.read(caFile, caKeyFile)
	if err != nil {
		return Cert{}, err
	}
	if !d.caGood(ca) {
		return Cert{}, fmt.Errorf("devcert: %s holds no CA with its key that is good: have Generate make one", dir)
	}
	out := Cert{CAFile: d.file(caFile), CertFile: d.file(name + ".crt"), KeyFile: d.file(name + ".key")}
	client, err := d.read(name+".crt", name+".key")
	if err != nil {
		return Cert{}, err
	}
	if !d.clientGood(ca, client, name) {
		if client, err = d.newClient(ca, name); err != nil {
			return Cert{}, err
		}
		out.Created = true
	}
	out.Fingerprint, out.NotAfter = fingerprint(client.cert), client.cert.NotAfter
	return out, nil
}

// clientGood says whether client can be shown to servers that trust ca.
func (d *directory) clientGood(ca, client pair, name string) bool {
	return client.cert != nil && client.key != nil && d.current(client.cert) && client.cert.Subject.CommonName == name &&
		client.key.PublicKey.Equal(client.cert.PublicKey) && client.cert.CheckSignatureFrom(ca.cert) == nil
}

func (d *directory) newClient(ca pair, name string) (pair, error) {
	serial, err := newSerial()
	if err != nil {
		return pair{}, err
	}
	return d.issue(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             d.now.Add(-backdate),
		NotAfter:              earlier(d.now.Add(leafLife), ca.cert.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, name+".crt", name+".key")
}
