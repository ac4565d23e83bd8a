// Package crypto is OpenSSL for QUIC: it turns a [Config] into an SSL_CTX and
// makes the SSL objects that package ngtcp2 drives. It is the one place that
// knows how certificates, ALPN and peer verification are set up, and so the seam
// where another TLS library would be put in.
//
// # Pipeline
//
//	Config -> Validate -> files read and checked (PEM, dates) -> SSL_CTX -> Context
//	Context.NewSSL -> *SSL -> ngtcp2_crypto_ossl (handshake) -> State, PeerIdentity
//
// TLS 1.3 only (RFC 9001, 4.2). ALPN is mandatory (RFC 9001, 8.1): a client that
// offers no common protocol, or none at all, is refused with the TLS alert
// no_application_protocol (120) while its ClientHello is read. Session tickets
// are sent; 0-RTT is accepted with [Config.EarlyData] alone. The library reads neither openssl.cnf nor any
// environment variable of its own; only the search for system roots
// ([Config.CAFile] empty) may end in OpenSSL's compiled-in places.
//
// # Ownership
//
//	Context    its creator, who calls Close; any goroutine may use it
//	SSL_CTX    reference counted by OpenSSL: one reference in the Context, one in
//	           every SSL; Reload and Close drop only the former
//	ALPN list, key log descriptor   the SSL_CTX (C heap), freed with it
//	*SSL       the caller of NewSSL, who frees it with SSL_free; one goroutine at
//	           a time, and so for the functions here that take one
//	results    Go memory, copied; nothing returned points into C
//
// A failing call into C brings its OpenSSL error text along: the error queue
// belongs to a thread, and a second call could run on another one.
package crypto
