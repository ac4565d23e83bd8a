//go:build quiche

package interop

import (
	"context"
	"net"
	"path/filepath"
	"testing"
)

// TestQuiche: quiche, in the npm package @matrixai/quic, carries paho.golang. Every connection is a
// process of its own.
func TestQuiche(t *testing.T) {
	npmInstall(t, "quiche")
	s := onQUIC("quiche + paho.golang 5.0 (QUIC)", quicheTo, newPaho5, broker.quic)
	for _, c := range []struct {
		name string
		run  func(*testing.T, stack)
	}{
		{"connect", caseConnect},
		{"QoS 0/1/2 x 0/1/2", caseQoS},
		{"retained", caseRetained},
		{"will", caseWill},
		{"1 MB messages", caseLarge},
		{"NAT rebinding", caseRebinding},
		{"QoS 1 over a bad path", func(t *testing.T, s stack) { lossy(t, s.via(startProxy(t, s.addr).Addr()), 1) }},
	} {
		proves(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// TestQuicheMatrix: the usual QUIC interop cases with quiche.
func TestQuicheMatrix(t *testing.T) {
	npmInstall(t, "quiche")
	runColumns(t, quicheColumns())
}

// quicheTo dials with quiche.
func quicheTo(addr string) dialer {
	return func(context.Context) (abortableConn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		c, err := startProcess("node", filepath.Join("quiche", "client.mjs"), host, port, broker.ca, "mqtt")
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}

// TestQuicheHabits: a client with several streams, as emqtt uses them.
func TestQuicheHabits(t *testing.T) {
	npmInstall(t, "quiche")
	runHabits(t, habits()[len(habits())-1:])
}
