// Command server sends back what QUIC clients send.
//
//	server ADDR DIR
//
// It listens on ADDR (host:port) with a development certificate that it keeps in DIR,
// where clients find what to trust, dev-ca.crt. It ends with SIGINT or SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: server ADDR DIR")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

// serve listens until ctx ends.
func serve(ctx context.Context, addr, dir string) error {
	cert, err := devcert.Generate(dir)
	if err != nil {
		return err
	}
	tls, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{"echo"}})
	if err != nil {
		return err
	}
	defer tls.Close()
	l, err := endpoint.NewListener(endpoint.Config{TLS: tls, Addrs: []string{addr}})
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return l.Close() // waits for the connections
		}
		if err != nil {
			return err
		}
		go echo(c)
	}
}

// echo ends when the client has closed its direction of the stream, or is gone.
func echo(c net.Conn) {
	defer c.Close()
	if _, err := io.Copy(c, c); err != nil {
		log.Printf("%s: %v", c.RemoteAddr(), err)
	}
}
