package broker

import (
	"github.com/ngmq/ngmq/mqtt/packet"
)

// Client is the MQTT side of one network connection. Its owner (a QUIC worker, or
// the reader goroutine of a stream connection) calls Feed and, exactly once and last,
// Closed. Flush is called by the owner too, or by one other goroutine (the writer
// of a stream connection), then at the same time as Feed.
type Client struct {
	b       *Broker
	t       Transport
	decoder packet.Decoder
}

// NewClient makes the client of a network connection that has just been opened. The
// deadline for its CONNECT (Config.ConnectTimeout) begins now.
func (b *Broker) NewClient(t Transport) *Client {
	return &Client{b: b, t: t}
}

// Feed takes the next bytes of the connection and handles all packets that are
// complete. chunk is not kept. What there is to send is announced by
// Transport.Wake, also from within Feed.
//
// An error means that the connection is over: the owner stops reading, calls Flush
// (the last packet, CONNACK or DISCONNECT, is waiting there), closes the network
// connection with CloseCode(err) and calls Closed(err). After an orderly DISCONNECT
// the error is an *Error with NormalDisconnection.
func (c *Client) Feed(chunk []byte) error { return nil }

// Flush writes what is waiting, as far as there is room: control packets first, then
// messages.
func (c *Client) Flush(s Sink) {}

// Closed tells that the network connection is gone, for the reason err (nil: the peer
// closed it, or the broker asked for it). The will becomes due, the session is kept
// or ends. Owner only, once, after the last Feed; a Flush that is running, or comes
// later, does nothing harmful.
func (c *Client) Closed(err error) {}

// Info describes the client; nil until its CONNECT has been accepted. It is set
// during Feed; owner only.
func (c *Client) Info() *ClientInfo { return nil }
