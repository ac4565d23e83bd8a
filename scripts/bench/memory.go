package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const (
	turnTime = 50 * time.Microsecond // one way, in virtual time, as in cbench
	// gapTime passes between two conversations, so that closed connections run out of
	// their draining period while others are opened, as they do in a server.
	gapTime  = 2 * time.Millisecond
	maxTurns = 1000 // a conversation longer than this hangs
	warmUp   = 20   // handshakes that are not counted, as in cbench
)

var errHangs = errors.New("the conversation does not end")

// memory is a server and a client Core joined in memory, under a virtual clock: what
// cbench is in C. One goroutine, locked to its thread.
type memory struct {
	server, client     *endpoint.Core
	serverTLS          *crypto.Context
	clientTLS          *crypto.Context
	path               ngtcp2.Path // of the client
	now                ngtcp2.Timestamp
	toServer, toClient endpoint.Batch
	cpu                time.Duration // of the server
	accepted           int           // handshakes that the server completed
}

// OnConn implements endpoint.Handler.
func (m *memory) OnConn(*endpoint.Conn) endpoint.ConnHandler {
	m.accepted++
	return quiet{}
}

// conditions are those of a handshake in memory.
type conditions struct {
	groups string // key exchange groups of the client
	// served: datagrams and path MTU discovery as a server has them by default. Else
	// as cbench has them: datagrams of bareDatagram bytes and no probes.
	served bool
}

// bareDatagram is the UDP payload of cbench's datagrams, in bytes.
const bareDatagram = 1200

func (c conditions) settings() func(*ngtcp2.Settings) {
	if c.served {
		return nil
	}
	return func(s *ngtcp2.Settings) { s.NoPMTUD, s.MaxTxUDPPayloadSize = true, bareDatagram }
}

// newMemory makes both ends, apart from the conditions with the defaults of a server.
func newMemory(c conditions) (*memory, error) {
	m := &memory{now: ngtcp2.Timestamp(time.Second), path: ngtcp2.Path{
		Local:  netip.MustParseAddrPort("127.0.0.1:40000"),
		Remote: netip.MustParseAddrPort("127.0.0.1:14567"),
	}}
	if err := m.makeTLS(c.groups); err != nil {
		return nil, err
	}
	var err error
	m.server, err = endpoint.NewCore(endpoint.Config{
		TLS: m.serverTLS, Addrs: []string{m.path.Remote.String()}, Handler: m, Settings: c.settings(),
	})
	if err != nil {
		m.close()
		return nil, err
	}
	m.client, err = endpoint.NewCore(endpoint.Config{Settings: c.settings()})
	if err != nil {
		m.close()
	}
	return m, err
}

func (m *memory) makeTLS(groups string) error {
	dir, err := os.MkdirTemp("", "ngmq-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	dev, err := crypto.GenerateDevCert(dir)
	if err != nil {
		return err
	}
	m.serverTLS, err = crypto.NewContext(crypto.Config{CertFile: dev.CertFile, KeyFile: dev.KeyFile, ALPN: []string{alpn}})
	if err != nil {
		return err
	}
	m.clientTLS, err = crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: dev.CAFile, ALPN: []string{alpn}, Groups: groups})
	return err
}

func (m *memory) close() {
	for _, c := range []*endpoint.Core{m.server, m.client} {
		if c != nil {
			c.Free()
		}
	}
	for _, t := range []*crypto.Context{m.serverTLS, m.clientTLS} {
		if t != nil {
			t.Close()
		}
	}
}

// measureMemory is the server's CPU time per connection, from the first datagram to
// its end, in microseconds.
func measureMemory(c conditions, count int) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m, err := newMemory(c)
	if err != nil {
		return 0, err
	}
	defer m.close()
	for i := range warmUp + count {
		if i == warmUp {
			m.cpu = 0
		}
		if err := m.conversation(); err != nil {
			return 0, err
		}
	}
	if m.accepted != warmUp+count {
		return 0, fmt.Errorf("%d of %d handshakes completed", m.accepted, warmUp+count)
	}
	return generator.Micros(m.cpu) / float64(count), nil
}

// conversation opens a connection, waits until both ends are silent, and closes it.
func (m *memory) conversation() error {
	var ended error
	done := false
	conn, err := m.client.Connect(m.path, endpoint.DialConfig{TLS: m.clientTLS, ServerName: "localhost", Handler: quiet{}},
		m.now, func(err error) { ended, done = err, true })
	if err != nil {
		return err
	}
	if err := m.exchange(); err != nil {
		return err
	}
	if !done || ended != nil {
		return fmt.Errorf("handshake: %w", errors.Join(errHangs, ended))
	}
	conn.Close(0, "")
	if err := m.exchange(); err != nil {
		return err
	}
	m.now = m.now.Add(gapTime)
	return nil
}

// exchange passes datagrams to and fro until there are none.
func (m *memory) exchange() error {
	for range maxTurns {
		turn(m.client, &m.toClient, &m.toServer, m.now)
		if len(m.toServer.Msgs) == 0 {
			return nil
		}
		m.now = m.now.Add(turnTime)
		start := threadCPU()
		turn(m.server, &m.toServer, &m.toClient, m.now)
		m.cpu += threadCPU() - start
		m.now = m.now.Add(turnTime)
	}
	return errHangs
}

// turn is what an endpoint's worker does, with memory in place of the sockets.
func turn(c *endpoint.Core, in, out *endpoint.Batch, now ngtcp2.Timestamp) {
	if len(in.Msgs) > 0 {
		c.Receive(in, now)
		in.Buf, in.Msgs = in.Buf[:0], in.Msgs[:0]
	}
	c.HandleInbox(now)
	c.HandleExpiry(now)
	for c.Busy() {
		buf, runs := c.Poll(now)
		for i := range runs {
			post(out, buf, &runs[i])
		}
		c.Sent(nil)
	}
}

// post puts a run of datagrams into the peer's batch.
func post(to *endpoint.Batch, buf []byte, t *endpoint.Transmit) {
	to.Msgs = append(to.Msgs, endpoint.Message{
		Local: t.Remote, Remote: t.Local, ECN: t.ECN,
		Off: uint32(len(to.Buf)), Len: uint32(t.Len), Stride: uint32(t.SegmentSize),
	})
	to.Buf = append(to.Buf, buf[t.Off:t.Off+t.Len]...)
}

// quiet is a ConnHandler that does nothing.
type quiet struct{}

func (quiet) OnStreamOpen(*endpoint.Stream)               {}
func (quiet) OnStreamData(*endpoint.Stream, []byte, bool) {}
func (quiet) OnStreamReset(*endpoint.Stream, uint64)      {}
func (quiet) OnStopSending(*endpoint.Stream, uint64)      {}
func (quiet) OnStreamClosed(*endpoint.Stream)             {}
func (quiet) OnFlush()                                    {}
func (quiet) OnClosed(error)                              {}
