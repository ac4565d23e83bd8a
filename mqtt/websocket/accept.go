package websocket

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gobwas/ws"
)

// Path is where a server of this module serves MQTT.
const Path = "/mqtt"

// MaxHeader is the largest request header that is taken, in bytes: cookies of a site
// fit, and a stranger holds no more than this until the handshake is over.
const MaxHeader = 8 << 10

// Subprotocols are what a client has to offer one of: the name of the standard
// [MQTT-6.0.0-3], and the one that MQTT 3.1 clients offer.
var Subprotocols = []string{"mqtt", "mqttv3.1"}

// HeaderEnd is the length of the request header at the beginning of b, 0 while it is
// not complete.
func HeaderEnd(b []byte) int {
	const blank = "\r\n\r\n"
	if i := bytes.Index(b, []byte(blank)); i >= 0 {
		return i + len(blank)
	}
	return 0
}

// RefuseHeader answers a request header that is longer than MaxHeader.
func RefuseHeader(w io.Writer) error {
	_, err := io.WriteString(w, "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	return err
}

// Accept answers a complete request header with 101, or with the HTTP error that it
// deserves; the error says why. origins are the web pages that may connect, such as
// "https://example.org"; none: all of them. A client that names no origin is no web
// page and passes.
func Accept(w io.Writer, request []byte, origins []string) error {
	offered := false
	u := ws.Upgrader{
		ReadBufferSize: MaxHeader,
		OnRequest:      checkPath,
		Protocol: func(name []byte) bool {
			ok := slices.Contains(Subprotocols, string(name))
			offered = offered || ok
			return ok
		},
		OnHeader: func(key, value []byte) error {
			if string(key) != "Origin" || allowed(string(value), origins) {
				return nil
			}
			return refuse(http.StatusForbidden, "origin "+string(value)+" is not allowed")
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if offered {
				return nil, nil
			}
			return nil, refuse(http.StatusBadRequest, "Sec-WebSocket-Protocol does not offer mqtt [MQTT-6.0.0-3]")
		},
	}
	_, err := u.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(request), w})
	return err
}

func checkPath(uri []byte) error {
	path, _, _ := strings.Cut(string(uri), "?")
	if path != Path {
		return refuse(http.StatusNotFound, "MQTT over WebSocket is at "+Path)
	}
	return nil
}

func allowed(origin string, origins []string) bool {
	return len(origins) == 0 || slices.ContainsFunc(origins, func(o string) bool { return strings.EqualFold(o, origin) })
}

func refuse(status int, reason string) error {
	return ws.RejectConnectionError(ws.RejectionStatus(status), ws.RejectionReason(reason))
}
