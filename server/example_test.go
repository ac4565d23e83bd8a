package server_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	mqtt "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// A server with a client of the same process, and what handlers do to a message.
func Example() {
	s, err := server.New(server.Config{
		QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"},
		Handlers: server.Handlers{
			Authorize: func(c *server.Client, a server.Action, topic string) error {
				if strings.HasPrefix(topic, "secret/") {
					return server.Refuse(packet.NotAuthorized, "not for you")
				}
				return nil
			},
			Deliver: func(e *server.DeliverEvent) error {
				e.Payload = fmt.Appendf(nil, "%s, dear %s", e.Payload, e.ClientID)
				return nil
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = s.HandlePublish("greeting", func(e *server.PublishEvent) error {
		e.Payload = []byte(strings.ToUpper(e.Text()))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()

	messages := make(chan mqtt.Message, 1)
	c, err := mqtt.New(mqtt.Options{ClientID: "reader", Dial: s.Dial, OnMessage: func(m mqtt.Message) { messages <- m }})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	_, err = c.Subscribe(ctx, packet.Subscription{Filter: "greeting"}, packet.Subscription{Filter: "secret/plan"})
	fmt.Println(err)
	if _, err := c.Publish(ctx, mqtt.Message{Topic: "greeting", Payload: []byte("hello"), QoS: 1}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", (<-messages).Payload)
	c.Close()
	stop()
	fmt.Println(<-ended)
	// Output:
	// client: server answered SUBACK: Not authorized (0x87), filter "secret/plan": not for you
	// HELLO, dear reader
	// <nil>
}
