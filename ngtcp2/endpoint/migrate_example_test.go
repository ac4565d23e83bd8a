package endpoint_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// echo serves the first connection of l.
func echo(l *endpoint.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	_, _ = io.Copy(c, c)
	_ = c.Close()
}

// A client goes from one network to another with its connection: 127.0.0.1 and
// 127.0.0.2 are the two networks of this example.
func ExampleConn_Migrate() {
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
	go echo(l)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	clientTLS, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: cert.CAFile, ALPN: []string{"echo"}})
	if err != nil {
		log.Fatal(err)
	}
	defer clientTLS.Close()
	c, err := endpoint.DialConn(ctx, l.Addr().String(), endpoint.DialConfig{TLS: clientTLS})
	if err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, 5)
	fmt.Fprint(c, "hello")
	_, err = io.ReadFull(c, answer) // an answer to data: the handshake is confirmed
	fmt.Println(string(answer), err)

	err = c.Conn().Migrate(ctx, endpoint.Migration{Local: netip.MustParseAddrPort("127.0.0.2:0")})
	fmt.Println(c.Conn().Path().Local.Addr(), err)
	fmt.Fprint(c, "again")
	_, err = io.ReadFull(c, answer)
	fmt.Println(string(answer), err)
	_ = c.Close()
	// Output:
	// hello <nil>
	// 127.0.0.2 <nil>
	// again <nil>
}
