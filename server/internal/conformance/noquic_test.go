//go:build noquic

package conformance

import (
	"context"
	"errors"
	"net"

	"github.com/ngmq/ngmq/server"
)

// transports that every test goes over.
var transports = []string{"tcp"}

var anyQUIC = []string{server.Off}

func dialQUIC(context.Context, *server.Server) (net.Conn, error) {
	return nil, errors.New("this build has no QUIC")
}

func stopDialing() {}
