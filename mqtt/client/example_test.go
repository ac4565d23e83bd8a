package client_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
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

// A client for years: it connects when it can, over QUIC or what the network lets
// through, and what it is told to publish survives the program.
func Example_alwaysConnected() {
	c, err := client.New(client.Options{
		Servers:          []string{"quic://broker.example:14567"},
		Fallback:         true, // mqtts:// and wss:// when UDP does not get through
		ClientID:         "meter-17",
		ResumeSession:    true,
		SessionExpiry:    client.NeverExpires,
		Reconnect:        true,
		Queue:            client.Queue{File: "/var/lib/meter/queue"},
		TLS:              client.TLS{SessionFile: "/var/lib/meter/sessions", EarlyData: client.EarlyDataAuto},
		FollowNetwork:    true,
		OnConnectionLost: func(cause error) { log.Print("offline: ", cause) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		log.Fatal(err)
	}
	// Returns when the message is on the disk, connected or not.
	if _, err := c.PublishAsync(context.Background(), client.Message{Topic: "meter/17", Payload: []byte("42"), QoS: 1}); err != nil {
		log.Fatal(err)
	}
}

// inProcess is a client of a server in this process; with a URL in Servers in place of Dial it is one
// of any server.
func inProcess(o client.Options) (*client.Client, func()) {
	s, err := server.New(server.Config{QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"}})
	if err != nil {
		log.Fatal(err)
	}
	o.Dial = s.Dial
	c, err := client.New(o)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return c, func() { c.Close(); stop(); <-ended }
}

func ExampleClient_Handle() {
	c, stop := inProcess(client.Options{OnMessage: func(m client.Message) { fmt.Println("another topic:", m.Topic) }})
	defer stop()
	ctx := context.Background()
	done := make(chan struct{})
	if _, err := c.Handle("room/+/temperature", func(m client.Message) { fmt.Printf("%s is %s\n", m.Topic, m.Payload) }); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Handle("end", func(client.Message) { close(done) }); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "#", QoS: 1}); err != nil {
		log.Fatal(err)
	}
	for _, m := range []client.Message{{Topic: "room/1/temperature", Payload: []byte("21")}, {Topic: "room/1/door"}, {Topic: "end"}} {
		if _, err := c.Publish(ctx, m); err != nil {
			log.Fatal(err)
		}
	}
	<-done
	// Output:
	// room/1/temperature is 21
	// another topic: room/1/door
}

func ExampleClient_Request() {
	c, stop := inProcess(client.Options{})
	defer stop()
	ctx := context.Background()
	// The service; usually it is another client's.
	upper := func(request client.Message) {
		answer := client.Message{Payload: []byte(strings.ToUpper(string(request.Payload)))}
		if err := c.Respond(ctx, request, answer); err != nil {
			log.Print(err)
		}
	}
	if _, err := c.Handle("upper", upper); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "upper"}); err != nil {
		log.Fatal(err)
	}
	answer, err := c.Request(ctx, client.Message{Topic: "upper", Payload: []byte("hello")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer.Payload))
	// Output: HELLO
}

func ExampleClient_PublishAsync() {
	c, stop := inProcess(client.Options{})
	defer stop()
	ctx := context.Background()
	var sent []*client.Pending
	for i := range 3 {
		p, err := c.PublishAsync(ctx, client.Message{Topic: fmt.Sprint("line/", i), QoS: 1})
		if err != nil {
			log.Fatal(err)
		}
		sent = append(sent, p)
	}
	for _, p := range sent {
		code, err := p.Wait(ctx)
		fmt.Println(p.Topic(), code, err)
	}
	// Output:
	// line/0 No matching subscribers (0x10) <nil>
	// line/1 No matching subscribers (0x10) <nil>
	// line/2 No matching subscribers (0x10) <nil>
}
