package client

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
)

// EndpointOptions describe an Endpoint. The zero value is usable.
type EndpointOptions struct {
	// Workers is the number of event loops, each with a socket; connections are spread over
	// them. At most 256. Default 1, which carries what one processor core can.
	Workers int
	// LocalAddr, QlogDir and Logger are those of [Options], for all connections.
	LocalAddr netip.Addr
	QlogDir   string
	Logger    *slog.Logger
}

// maxWorkers is the limit of package endpoint.
const maxWorkers = 256

// Validate says what is wrong.
func (o *EndpointOptions) Validate() error {
	if o.Workers < 0 || o.Workers > maxWorkers {
		return fmt.Errorf("client: EndpointOptions.Workers is %d: use 1 to %d, or 0 for the default", o.Workers, maxWorkers)
	}
	return nil
}

// ErrEndpointClosed is why nothing can be dialled on an Endpoint after its Shutdown.
var ErrEndpointClosed = errors.New("client: the Endpoint has been shut down")
