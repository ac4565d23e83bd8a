// Command basic is the smallest MQTT server: QUIC and TCP on this machine, until
// Ctrl-C.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"github.com/ngmq/ngmq/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cfg := server.Config{Logger: slog.Default()}
	if err := run(ctx, cfg); err != nil {
		slog.Error("server", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg server.Config) error {
	s, err := server.New(cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
