package endpoint_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// contexts makes TLS contexts for both sides of an example.
func contexts(earlyData bool) (server, client *crypto.Context) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cert, err := crypto.GenerateDevCert(dir)
	if err != nil {
		log.Fatal(err)
	}
	server, err = crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile,
		ALPN: []string{"example"}, EarlyData: earlyData})
	if err != nil {
		log.Fatal(err)
	}
	client, err = crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: cert.CAFile, ALPN: []string{"example"}})
	if err != nil {
		log.Fatal(err)
	}
	return server, client
}

// A client sends with its first flight what the server may do twice. The second
// connection uses the session of the first.
func Example_earlyData() {
	serverTLS, clientTLS := contexts(true)
	defer serverTLS.Close()
	defer clientTLS.Close()
	l, err := endpoint.NewListener(endpoint.Config{TLS: serverTLS, Addrs: []string{"127.0.0.1:0"}, EarlyData: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			request, _ := io.ReadAll(c) // may be a copy that an attacker sent: read, do not act
			if c.(*endpoint.StreamConn).Handshake(ctx) == nil {
				fmt.Fprintf(c, "done: %s", request) // now it is the client's
			}
			_ = c.Close()
		}
	}()

	e, err := endpoint.New(endpoint.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Shutdown(ctx)
	sessions := make(chan []byte, 10)
	cfg := endpoint.DialConfig{TLS: clientTLS, EarlyData: true, OnSession: func(s []byte) { sessions <- s }}
	for range 2 {
		c, err := e.DialConn(ctx, l.Addr().String(), cfg)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(c, "request")
		_ = c.CloseWrite()
		answer, err := io.ReadAll(c)
		fmt.Println(string(answer), err, "early:", c.TLS().EarlyData)
		_ = c.Close()
		cfg.Session = <-sessions
	}
	// Output:
	// done: request <nil> early: false
	// done: request <nil> early: true
}
