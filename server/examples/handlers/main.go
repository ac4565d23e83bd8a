// Command handlers is an MQTT server that knows its users, greets subscribers and
// reads what sensors publish.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := newServer(server.Config{Logger: slog.Default()}, os.Stdout)
	if err == nil {
		err = s.Run(ctx)
	}
	if err != nil {
		slog.Error("server", "error", err)
		os.Exit(1)
	}
}

// newServer makes a server with handlers that write what happens to out.
func newServer(cfg server.Config, out io.Writer) (*server.Server, error) {
	cfg.Handlers = server.Handlers{
		Connect: func(e *server.ConnectEvent) error {
			if e.Client.Username != "alice" || string(e.Password) != "secret" {
				return server.Refuse(packet.BadUserNameOrPassword, "who are you?")
			}
			fmt.Fprintf(out, "%s comes over %s\n", e.Client.ID, e.Client.Conn.Transport)
			return nil
		},
		Disconnect: func(e *server.DisconnectEvent) {
			fmt.Fprintf(out, "%s has gone\n", e.Client.ID)
		},
		Subscribe: func(e *server.SubscribeEvent) error {
			if e.Filter == "greeting" {
				e.Reply(server.Publication{Topic: "greeting", Payload: []byte("hello " + e.Client.Username)})
			}
			return nil
		},
	}
	s, err := server.New(cfg)
	if err != nil {
		return nil, err
	}
	return s, s.HandlePublish("sensors/+/temperature", func(e *server.PublishEvent) error {
		var celsius float64
		if err := e.JSON(&celsius); err != nil {
			return server.Refuse(packet.PayloadFormatInvalid, "want a number")
		}
		fmt.Fprintf(out, "%s: %.1f °C\n", e.Topic, celsius)
		return nil
	})
}
