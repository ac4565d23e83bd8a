package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// A message over QUIC, to a server with a development certificate.
func Example() {
	ctx := context.Background()
	c, err := client.Dial(ctx, "quic://localhost:14567", client.Options{
		TLS:       client.TLS{CAFile: "dev-ca.crt"},
		OnMessage: func(m client.Message) { fmt.Printf("%s: %s\n", m.Topic, m.Payload) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Disconnect(ctx)
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "greeting/#", QoS: 1}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Publish(ctx, client.Message{Topic: "greeting/world", Payload: []byte("hello"), QoS: 1}); err != nil {
		log.Fatal(err)
	}
	<-c.Done()
}
