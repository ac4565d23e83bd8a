// Command requestresponse is a server with a service inside: a client of the same
// process, without a network between, answers the requests of others (MQTT 5.0 section
// 4.10). It makes one request itself, prints the answer and ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

func main() {
	answer, err := run(context.Background())
	if err != nil {
		slog.Error("requestresponse", "error", err)
		os.Exit(1)
	}
	fmt.Println(answer)
}

// run has the conversation on a server of its own.
func run(ctx context.Context) (answer string, err error) {
	s, err := server.New(server.Config{QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"}})
	if err != nil {
		return "", err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	answer, err = conversation(ctx, s)
	stop()
	return answer, errors.Join(err, <-ended)
}

// conversation starts the service and asks it something.
func conversation(ctx context.Context, s *server.Server) (string, error) {
	service, err := serve(ctx, s)
	if err != nil {
		return "", err
	}
	defer service.Close()
	answers := make(chan client.Message, 1)
	c, err := connect(ctx, s, func(m client.Message) { answers <- m })
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "answers/1", QoS: 1}); err != nil {
		return "", err
	}
	request := packet.AppendString(nil, packet.ResponseTopic, "answers/1")
	request = packet.AppendBinary(request, packet.CorrelationData, []byte("request 7"))
	if _, err := c.Publish(ctx, client.Message{Topic: "upper", Payload: []byte("hello"), QoS: 1, Properties: request}); err != nil {
		return "", err
	}
	answer := <-answers
	number, _ := answer.Properties.Bytes(packet.CorrelationData)
	return fmt.Sprintf("%s: %s", number, answer.Payload), nil
}

// serve answers requests to the topic "upper".
func serve(ctx context.Context, s *server.Server) (*client.Client, error) {
	requests := make(chan client.Message, 16)
	c, err := connect(ctx, s, func(m client.Message) { requests <- m })
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			select {
			case m := <-requests:
				reply(ctx, c, m)
			case <-c.Done():
				return
			}
		}
	}()
	_, err = c.Subscribe(ctx, packet.Subscription{Filter: "upper", QoS: 1})
	return c, err
}

// reply sends the payload back in capitals, to where the request says.
func reply(ctx context.Context, c *client.Client, m client.Message) {
	topic, ok := m.Properties.Bytes(packet.ResponseTopic)
	if !ok {
		return
	}
	var props packet.Properties
	if data, ok := m.Properties.Bytes(packet.CorrelationData); ok {
		props = packet.AppendBinary(nil, packet.CorrelationData, data)
	}
	answer := client.Message{Topic: string(topic), Payload: []byte(strings.ToUpper(string(m.Payload))), QoS: 1, Properties: props}
	if _, err := c.Publish(ctx, answer); err != nil {
		slog.Error("reply", "error", err)
	}
}

// connect makes a client of s without a network.
func connect(ctx context.Context, s *server.Server, onMessage func(client.Message)) (*client.Client, error) {
	c, err := client.New(client.Options{Dial: s.Dial, OnMessage: onMessage})
	if err != nil {
		return nil, err
	}
	_, err = c.Connect(ctx)
	return c, err
}
