package mqtttest

import (
	"net"
	"testing"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Panics brings about a panic of a broker with a Faulty store wherever a connection is
// served, each with a connection of its own, and checks that those end and that a
// client that was there before does not notice. It gives their number.
func Panics(t *testing.T, dial func() net.Conn) int {
	witness := New(t, dial(), packet.V50)
	witness.ConnectAs("witness")
	witness.Subscribe("will", 0)
	causes := []func(*Client){
		func(c *Client) { // input
			c.ConnectAs("input")
			c.Send(&packet.Publish{Topic: []byte(Fault), Payload: []byte("x"), Retain: true})
			c.ExpectEnd()
		},
		func(c *Client) { // output
			c.ConnectAs("output")
			c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: Fault + "/#"}}})
			for err := error(nil); err == nil; {
				_, err = c.Read()
			}
		},
		func(c *Client) { lose(c, "end", nil) },
		func(c *Client) { lose(c, "timer", packet.AppendUint32(nil, packet.WillDelayInterval, 1)) },
	}
	for _, cause := range causes {
		cause(New(t, dial(), packet.V50))
		witness.Ping()
	}
	lose(New(t, dial(), packet.V50), "again", nil) // who was hit can come back
	New(t, dial(), packet.V50).ConnectAs("again")
	witness.Ping()
	return len(causes) + 1
}

// lose connects with a will that makes the store panic and loses the connection.
func lose(c *Client, id string, delay packet.Properties) {
	c.Connect(&packet.Connect{
		ClientID: id, CleanStart: true, Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 100),
		Will: &packet.Will{Topic: Fault, Payload: []byte("x"), Retain: true, Properties: delay},
	})
	c.conn.Close()
}
