//go:build noquic

package client

import (
	"context"
	"errors"
)

// Endpoint carries QUIC connections, which this build has not.
type Endpoint struct{}

// NewEndpoint fails: this program was built without QUIC.
func NewEndpoint(EndpointOptions) (*Endpoint, error) {
	return nil, errors.New("client: NewEndpoint: this program was built without QUIC (build tag noquic): build it without the tag")
}

// Shutdown has nothing to end.
func (*Endpoint) Shutdown(context.Context) error { return nil }
