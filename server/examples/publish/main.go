// Command publish is an MQTT server that publishes itself: the time, each second,
// retained, so that a new subscriber sees it at once.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/ngmq/ngmq/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := server.New(server.Config{Logger: slog.Default()})
	if err == nil {
		go publishTime(ctx, s, time.Second)
		err = s.Run(ctx)
	}
	if err != nil {
		slog.Error("server", "error", err)
		os.Exit(1)
	}
}

func publishTime(ctx context.Context, s *server.Server, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			err := s.Publish(server.Publication{
				Topic:   "time",
				Payload: []byte(now.Format(time.RFC3339)),
				Retain:  true,
				Expiry:  time.Minute,
			})
			if err != nil {
				slog.Error("publish", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
