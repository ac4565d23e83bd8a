package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// Connection tells how a client is connected.
type Connection struct {
	// Server is its URL, without password.
	Server string
	// Local and Remote are the addresses now; a QUIC connection may change them.
	Local, Remote net.Addr
	// Streams in use, the first one included.
	Streams int
	// QUIC is nil on other transports.
	QUIC *QUICInfo
}

// QUICInfo is about a QUIC connection: counted since its beginning, or as it is now.
type QUICInfo struct {
	// Resumed: with a session of an earlier connection; EarlyData: with 0-RTT.
	Resumed, EarlyData bool
	// RTT is smoothed (RFC 9002 section 5.3).
	RTT, MinRTT time.Duration
	// CongestionWindow and BytesInFlight in bytes.
	CongestionWindow, BytesInFlight uint64

	PacketsSent, PacketsReceived, PacketsLost uint64
	BytesSent, BytesReceived                  uint64

	// Datagrams are counted with Options.Datagrams.
	Datagrams DatagramInfo
}

// DatagramInfo counts messages of QoS 0 in QUIC datagrams.
type DatagramInfo struct {
	// Sent by the client, and of these Lost: the transport takes them for lost.
	Sent, Lost uint64
	// TooLarge messages fitted in no datagram: they went on a stream.
	TooLarge uint64
	// Received from the server, and Dropped ones of these: the program did not keep up, or
	// they held no whole PUBLISH of QoS 0 with its topic.
	Received, Dropped uint64
}

// quicTransport is a network connection over QUIC.
type quicTransport interface {
	streamOpener
	info(ctx context.Context) (*QUICInfo, error)
	// rebind moves to a local address; the zero value is where the system routes from.
	// immediate: the present one is gone.
	rebind(ctx context.Context, local netip.AddrPort, immediate bool) error
	// takesDatagrams says whether the server does; datagram sends b as one when there is room,
	// and calls done on the worker then, or when it cannot be.
	takesDatagrams(ctx context.Context) bool
	datagram(b []byte, done func(sent bool))
	// received are the datagrams that have come; nil without Options.Datagrams. drop counts
	// one that nothing can be done with.
	received() <-chan []byte
	drop()
}

// ErrNotQUIC says that the call needs a connection over QUIC.
var ErrNotQUIC = errors.New("client: the connection is not over QUIC")

// Connection describes the present connection; ErrNotConnected when there is none.
func (c *Client) Connection(ctx context.Context) (Connection, error) {
	l, err := c.current()
	if err != nil {
		return Connection{}, err
	}
	info := Connection{Server: redacted(l.server), Local: l.nc.LocalAddr(), Remote: l.nc.RemoteAddr(), Streams: 1 + len(l.lanes.list(l))}
	if q, ok := l.nc.(quicTransport); ok {
		info.QUIC, err = q.info(ctx)
	}
	return info, err
}

// Rebind moves the QUIC connection to another local address, without a pause for the
// session: before the present network goes away, for instance. With port 0 the system
// chooses the port, and the zero value is the address that the system now routes from.
// It returns when the server has been reached from there; otherwise the connection stays
// where it was. Errors: [ErrNotQUIC], [ErrNotConnected], that of ctx (the attempt goes
// on), and those of endpoint.Conn.Migrate. See also [Options.FollowNetwork].
func (c *Client) Rebind(ctx context.Context, local netip.AddrPort) error {
	l, err := c.current()
	if err != nil {
		return err
	}
	q, ok := l.nc.(quicTransport)
	if !ok {
		return ErrNotQUIC
	}
	return q.rebind(ctx, local, false)
}
