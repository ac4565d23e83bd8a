package stream

import (
	"bytes"
	"crypto/tls"
	"errors"
)

// language is what a listener expects first.
type language uint8

const (
	speaksMQTT language = iota
	speaksHTTP          // WebSocket
	speaksTLS
)

// misdirected says what the beginning of a connection is when it is something else than
// what the listener speaks, and so most likely a client with a wrong port or scheme.
func misdirected(b []byte, speaks language) string {
	switch heard := recognise(b); {
	case heard == "" || heard == speech[speaks]:
		return ""
	default:
		return heard + advice[speaks]
	}
}

const (
	heardTLS   = "a TLS client"
	heardMQTT  = "an MQTT client without TLS"
	heardHTTP  = "an HTTP client"
	heardProxy = "a PROXY protocol header"
)

var speech = [...]string{speaksMQTT: heardMQTT, speaksHTTP: heardHTTP, speaksTLS: heardTLS}

var advice = [...]string{
	speaksMQTT: " on a port for MQTT without TLS: use a mqtt:// address, or the port for TLS (--tls), WebSocket (--ws) or a listener with ?proxy=",
	speaksHTTP: " on a port for MQTT over WebSocket without TLS: use a ws:// address, or the port for TCP (--tcp), TLS (--tls) or secure WebSocket (--wss)",
	speaksTLS:  " on a port for TLS: use a mqtts:// or wss:// address, or the port without TLS (--tcp, --ws)",
}

var httpMethods = [][]byte{[]byte("GET "), []byte("POST "), []byte("HEAD "), []byte("PUT "), []byte("OPTIONS "), []byte("CONNECT "), []byte("DELETE "), []byte("PRI ")}

// recognise names the protocol of the first bytes of a connection; "" for none that it
// knows.
func recognise(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case b[0] == 0x10: // CONNECT
		return heardMQTT
	case len(b) >= 2 && b[0] == 0x16 && b[1] == 3: // handshake record (RFC 8446 section 5.1)
		return heardTLS
	case bytes.HasPrefix(b, []byte(proxySignature)), bytes.HasPrefix(b, []byte("PROXY ")):
		return heardProxy
	}
	for _, method := range httpMethods {
		if bytes.HasPrefix(b, method[:min(len(method), max(len(b), 3))]) {
			return heardHTTP
		}
	}
	return ""
}

// tlsError explains an error of a TLS handshake that a client without TLS caused.
func tlsError(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		if hint := misdirected(record.RecordHeader[:], speaksTLS); hint != "" {
			return errors.New(hint)
		}
	}
	return err
}
