package ngtcp2_test

import (
	"fmt"
	"log"
	"net/netip"
	"os"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

// end is one side of the example: a Conn, what it has to send, what it received.
type end struct {
	conn   *ngtcp2.Conn
	ev     *ngtcp2.Events
	path   ngtcp2.Path
	chunks []ngtcp2.StreamChunk
	onData func(e *end, id int64, data []byte)
}

// send queues data on a stream; WritePkts takes the buffer over.
func (e *end) send(id int64, data []byte) {
	buf := ngtcp2.NewBuffer(len(data))
	copy(buf.Bytes(), data)
	e.chunks = append(e.chunks, ngtcp2.StreamChunk{StreamID: id, Buf: buf, Len: uint32(len(data)), Fin: true})
}

// write makes datagrams: a real program sends dst[:w.N] in segments to w.Path.
func (e *end) write(dst []byte, ts ngtcp2.Timestamp) ngtcp2.Written {
	w, err := e.conn.WritePkts(dst, e.chunks, ts)
	if err != nil {
		log.Fatal(err)
	}
	e.chunks = e.chunks[:0]
	return w
}

// read takes datagrams, then drains the events.
func (e *end) read(base []byte, w ngtcp2.Written, ts ngtcp2.Timestamp) {
	var run []ngtcp2.Datagram
	for off := 0; off < w.N; off += w.SegmentSize {
		run = append(run, ngtcp2.Datagram{Off: uint32(off), Len: uint32(min(w.SegmentSize, w.N-off)), ECN: w.ECN})
	}
	if err := e.conn.ReadPkts(e.path, base, run, ts); err != nil {
		log.Fatal(err)
	}
	for i := range e.ev.Len() {
		if ev := e.ev.At(i); ev.Type == ngtcp2.EventStreamData {
			data := e.ev.Data(ev)
			e.onData(e, ev.StreamID, data)
			if err := e.conn.Consume(ev.StreamID, uint64(len(data))); err != nil {
				log.Fatal(err)
			}
		}
	}
}

func params() *ngtcp2.TransportParams {
	p := ngtcp2.DefaultTransportParams()
	p.InitialMaxData, p.InitialMaxStreamDataBidiLocal, p.InitialMaxStreamDataBidiRemote = 1<<20, 1<<18, 1<<18
	p.InitialMaxStreamsBidi = 1
	return &p
}

func cid(b ...byte) ngtcp2.ConnectionID { // a real program takes random bytes
	c, err := ngtcp2.NewConnectionID(b)
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func context(cfg crypto.Config) *crypto.Context {
	ctx, err := crypto.NewContext(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return ctx
}

// A client and a server exchange a line, with the network left out: what one side
// writes the other reads.
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
	ctls := context(crypto.Config{Role: crypto.Client, CAFile: cert.CAFile, ALPN: []string{"echo"}})
	defer ctls.Close()
	stls := context(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{"echo"}})
	defer stls.Close()
	here, there := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.2:4433")
	now, dst := ngtcp2.Now(), make([]byte, 64<<10)

	done := false
	client := &end{ev: ngtcp2.NewEvents(), path: ngtcp2.Path{Local: here, Remote: there}}
	defer client.ev.Free()
	client.onData = func(_ *end, _ int64, data []byte) { fmt.Printf("client got %q\n", data); done = true }
	server := &end{ev: ngtcp2.NewEvents(), path: ngtcp2.Path{Local: there, Remote: here}}
	defer server.ev.Free()
	server.onData = func(e *end, id int64, data []byte) { fmt.Printf("server got %q\n", data); e.send(id, data) }

	client.conn, err = ngtcp2.NewClientConn(ngtcp2.ConnConfig{
		DCID: cid(1, 2, 3, 4, 5, 6, 7, 8), SCID: cid(11, 12, 13, 14), Path: client.path,
		Params: params(), TLS: ctls, ServerName: "localhost", Events: client.ev,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.conn.Free()

	// The first datagram tells the server what to make.
	w := client.write(dst, now)
	hd, err := ngtcp2.Accept(dst[:w.SegmentSize])
	if err != nil {
		log.Fatal(err)
	}
	sp := params()
	sp.OriginalDCID, sp.OriginalDCIDPresent = hd.DCID, true
	server.conn, err = ngtcp2.NewServerConn(ngtcp2.ConnConfig{
		DCID: hd.SCID, SCID: cid(21, 22, 23, 24), Path: server.path, Version: hd.Version,
		Params: sp, TLS: stls, Events: server.ev,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.conn.Free()
	server.read(dst, w, now)

	for opened := false; !done; now = now.Add(1e6) {
		if client.conn.HandshakeCompleted() && !opened {
			id, err := client.conn.OpenStreamBidi()
			if err != nil {
				log.Fatal(err)
			}
			client.send(id, []byte("hello"))
			opened = true
		}
		client.read(dst, server.write(dst, now), now)
		server.read(dst, client.write(dst, now), now)
	}
	fmt.Println(client.conn.ALPN(), client.conn.TLSState().Version)
	// Output:
	// server got "hello"
	// client got "hello"
	// echo TLSv1.3
}
