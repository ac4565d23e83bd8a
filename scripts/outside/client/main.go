// Command client sends its standard input to an echo server over QUIC and prints what
// comes back.
//
//	client ADDR CAFILE
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: client ADDR CAFILE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := talk(ctx, os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

// talk returns when the server has sent back everything, or ctx ends.
func talk(ctx context.Context, addr, caFile string) error {
	tls, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: caFile, ALPN: []string{"echo"}})
	if err != nil {
		return err
	}
	defer tls.Close()
	c, err := endpoint.DialConn(ctx, addr, endpoint.DialConfig{TLS: tls})
	if err != nil {
		return err
	}
	defer c.Close()
	context.AfterFunc(ctx, func() { c.Close() })
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, os.Stdin)
		if err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	if _, err := io.Copy(os.Stdout, c); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
