//go:build noquic

package client

import (
	"context"
	"fmt"
	"net"
)

// checkQUIC says whether this build can reach the server.
func checkQUIC(srv server) error {
	if srv.scheme != "quic" {
		return nil
	}
	return fmt.Errorf("client: server quic://%s: this program was built without QUIC (build tag noquic): use mqtts:// or mqtt://, or build it without the tag", srv.addr)
}

// dialQUIC fails; New has refused such a server already.
func (*dialer) dialQUIC(_ context.Context, srv server, _ bool) (net.Conn, error) {
	return nil, checkQUIC(srv)
}
