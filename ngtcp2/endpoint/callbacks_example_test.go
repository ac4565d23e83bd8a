package endpoint_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// quiet is a ConnHandler that does nothing: embed it, and write the methods that
// matter.
type quiet struct{}

func (quiet) OnStreamOpen(*endpoint.Stream)               {}
func (quiet) OnStreamData(*endpoint.Stream, []byte, bool) {}
func (quiet) OnStreamReset(*endpoint.Stream, uint64)      {}
func (quiet) OnStopSending(*endpoint.Stream, uint64)      {}
func (quiet) OnStreamClosed(*endpoint.Stream)             {}
func (quiet) OnFlush()                                    {}
func (quiet) OnClosed(error)                              {}

// echoHandler is the application of one connection of a server, and with itself as
// Handler of all of them: it echoes streams and datagrams.
type echoHandler struct {
	quiet
	conn *endpoint.Conn
}

func (echoHandler) OnConn(c *endpoint.Conn) endpoint.ConnHandler { return echoHandler{conn: c} }

func (echoHandler) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	_, _ = s.Write(data)
	s.Consume(len(data)) // the peer may send as much again
	if fin {
		_ = s.CloseWrite()
	}
}

func (h echoHandler) OnDatagram(data []byte, _ bool) { _ = h.conn.SendDatagram(data, 0) }
func (echoHandler) OnDatagramAcked(uint64)           {}
func (echoHandler) OnDatagramLost(uint64)            {}

// A server without net.Conn: one object per connection, called on its worker.
func ExampleNew_server() {
	serverTLS, clientTLS := contexts(false)
	defer serverTLS.Close()
	defer clientTLS.Close()
	e, err := endpoint.New(endpoint.Config{TLS: serverTLS, Addrs: []string{"127.0.0.1:0"}, Handler: echoHandler{}, MaxDatagram: 65535})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	if err := e.Start(); err != nil { // or e.Run(ctx), which returns at its end
		log.Fatal(err)
	}
	defer cancel()
	fmt.Println(len(e.Addrs()), "address")
	fmt.Println(e.Shutdown(ctx))
	// Output:
	// 1 address
	// <nil>
}

// asker is the application of a client: it collects the answer.
type asker struct {
	quiet
	answer []byte
	done   chan string
}

func (a *asker) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	a.answer = append(a.answer, data...)
	s.Consume(len(data))
	if fin {
		a.done <- string(a.answer)
	}
}

// A client without net.Conn: streams are opened in Ready, on the worker.
func ExampleEndpoint_Dial() {
	serverTLS, clientTLS := contexts(false)
	defer serverTLS.Close()
	defer clientTLS.Close()
	server, err := endpoint.New(endpoint.Config{TLS: serverTLS, Addrs: []string{"127.0.0.1:0"}, Handler: echoHandler{}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer server.Shutdown(ctx)
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}

	client, err := endpoint.New(endpoint.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Shutdown(ctx)
	a := &asker{done: make(chan string, 1)}
	_, err = client.Dial(ctx, server.Addrs()[0].String(), endpoint.DialConfig{TLS: clientTLS, Handler: a,
		Ready: func(c *endpoint.Conn) {
			s, err := c.OpenStream()
			if err != nil {
				log.Fatal(err)
			}
			_, _ = s.Write([]byte("hello"))
			_ = s.CloseWrite()
		}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-a.done)
	// Output: hello
}

// pinger sends datagrams and hears of their fate.
type pinger struct {
	quiet
	events chan string
}

func (p *pinger) OnDatagram(data []byte, _ bool) { p.events <- "got " + string(data) }
func (p *pinger) OnDatagramAcked(id uint64)      { p.events <- fmt.Sprint("acknowledged ", id) }
func (p *pinger) OnDatagramLost(id uint64)       { p.events <- fmt.Sprint("lost ", id) }

// Datagrams are sent once; the transport tells whether they arrived.
func ExampleConn_SendDatagram() {
	serverTLS, clientTLS := contexts(false)
	defer serverTLS.Close()
	defer clientTLS.Close()
	server, err := endpoint.New(endpoint.Config{TLS: serverTLS, Addrs: []string{"127.0.0.1:0"}, Handler: echoHandler{}, MaxDatagram: 65535})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer server.Shutdown(ctx)
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}

	client, err := endpoint.New(endpoint.Config{Workers: 1, MaxDatagram: 65535})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Shutdown(ctx)
	p := &pinger{events: make(chan string, 10)}
	conn, err := client.Dial(ctx, server.Addrs()[0].String(), endpoint.DialConfig{TLS: clientTLS, Handler: p})
	if err != nil {
		log.Fatal(err)
	}
	conn.Post(func() { // Conn's methods are for its worker
		if err := conn.SendDatagram([]byte("ping"), 7); err != nil {
			log.Fatal(err)
		}
	})
	for range 2 {
		fmt.Println(<-p.events)
	}
	// Unordered output:
	// acknowledged 7
	// got ping
}
