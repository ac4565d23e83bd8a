//go:build !noquic

package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// A whole program: it connects over QUIC to a server that a CA file vouches for, has messages
// handled by their topic, publishes one with QoS 1 and disconnects.
func Example_program() {
	url, caFile, stop := startServer() // yours is somewhere else: "quic://broker.example:14567"
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx, url, caFile); err != nil {
		log.Fatal(err)
	}
	// Output:
	// sensor/7/temperature: 21.5
	// published: Success (0x00)
	// disconnected
}

func run(ctx context.Context, url, caFile string) error {
	c, err := client.New(client.Options{
		Servers:          []string{url},
		ClientID:         "thermometer-7",
		TLS:              client.TLS{CAFile: caFile},
		OnConnectionLost: func(cause error) { log.Print("connection lost: ", cause) },
	})
	if err != nil {
		return err // the Options are wrong: it says which, and what to do
	}
	defer c.Close()
	if _, err := c.Connect(ctx); err != nil {
		return err
	}

	handled := make(chan struct{})
	if _, err := c.Handle("sensor/+/temperature", func(m client.Message) {
		fmt.Printf("%s: %s\n", m.Topic, m.Payload)
		close(handled)
	}); err != nil {
		return err
	}
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "sensor/#", QoS: 1}); err != nil {
		return err
	}

	// It returns when the server has taken the message.
	code, err := c.Publish(ctx, client.Message{Topic: "sensor/7/temperature", Payload: []byte("21.5"), QoS: 1})
	if err != nil {
		return err
	}
	select {
	case <-handled:
	case <-ctx.Done():
		return ctx.Err()
	}
	fmt.Println("published:", code)

	if err := c.Disconnect(ctx); err != nil {
		return err
	}
	fmt.Println("disconnected")
	return nil
}

// startServer runs a server in this process, with a development certificate.
func startServer() (url, caFile string, stop func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	s, err := server.New(server.Config{QUIC: []string{"127.0.0.1:0"}, TCP: []string{server.Off}, DataDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = func() {
		cancel()
		<-ended
		os.RemoveAll(dir)
	}
	return "quic://" + s.Addrs().QUIC[0].String(), s.CAFile(), stop
}
