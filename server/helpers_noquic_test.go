//go:build noquic

package server_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"

	"github.com/ngmq/ngmq/server"
)

// transports that every server test goes over.
var transports = []string{"tcp", "tls", "ws", "wss", "unix"}

// favourite is the transport where a test needs one of them.
const favourite = "tls"

var anyQUIC = []string{server.Off}

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// quicClients are none.
type quicClients struct{}

func (quicClients) stopClients() {}

func (quicClients) dialQUIC(testing.TB, context.Context) (net.Conn, error) {
	return nil, errors.New("this build has no QUIC")
}

// vandals of QUIC are none.
var vandals []vandal

// heap is the C heap: there is no C.
func heap() (blocks, bytes int64) { return 0, 0 }
