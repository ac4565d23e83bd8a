package packet_test

import (
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func Example() {
	// One end writes.
	var stream []byte
	stream = (&packet.Connect{Version: packet.V50, CleanStart: true, ClientID: "sensor"}).AppendTo(stream, packet.V50)
	stream = (&packet.Publish{
		QoS: 1, PacketID: 7, Topic: []byte("room/temp"), Payload: []byte("21.5"),
		Properties: packet.AppendUserProperty(nil, "unit", "celsius"),
	}).AppendTo(stream, packet.V50)

	// The other end reads, in chunks as they come.
	d := packet.NewDecoder(1 << 20)
	for len(stream) > 0 {
		n := min(10, len(stream))
		d.Feed(stream[:n])
		stream = stream[n:]
		for {
			p, err := d.Next()
			if err != nil {
				fmt.Println(err)
				return
			}
			if p == nil {
				break
			}
			switch p := p.(type) {
			case *packet.Connect:
				d.SetVersion(p.Version)
				fmt.Println(p.Type(), p.Version, p.ClientID)
			case *packet.Publish:
				unit, _ := p.Properties.Bytes(packet.UserProperty)
				fmt.Printf("%v %s %s %s\n", p.Type(), p.Topic, p.Payload, unit)
			}
		}
	}
	// Output:
	// CONNECT 5.0 sensor
	// PUBLISH room/temp 21.5 celsius
}
