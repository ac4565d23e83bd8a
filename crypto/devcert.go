package crypto

import "github.com/ngmq/ngmq/crypto/devcert"

// DevCert tells where a development certificate is.
type DevCert = devcert.Cert

// GenerateDevCert makes a CA and a server certificate for development in dir; see
// devcert.Generate.
func GenerateDevCert(dir string, hosts ...string) (DevCert, error) {
	return devcert.Generate(dir, hosts...)
}
