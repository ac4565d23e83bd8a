package endpoint_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// A server and a client that know nothing of QUIC but net.Conn.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cert, err := crypto.GenerateDevCert(dir)
	if err != nil {
		log.Fatal(err)
	}
	serverTLS, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{"echo"}})
	if err != nil {
		log.Fatal(err)
	}
	defer serverTLS.Close()
	l, err := endpoint.NewListener(endpoint.Config{TLS: serverTLS, Addrs: []string{"127.0.0.1:0"}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()

	clientTLS, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: cert.CAFile, ALPN: []string{"echo"}})
	if err != nil {
		log.Fatal(err)
	}
	defer clientTLS.Close()
	c, err := endpoint.DialConn(context.Background(), l.Addr().String(), endpoint.DialConfig{TLS: clientTLS})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "hello over QUIC")
	_ = c.CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Println(string(answer), err)
	// Output: hello over QUIC <nil>
}
