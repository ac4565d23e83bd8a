package endpoint

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// dgrams echoes datagrams on the server, and counts on the client.
type dgrams struct {
	silentHandler
	conn             *Conn
	got, acked, lost atomic.Int64
	early            atomic.Int64
	owed             []byte // the last one
	owes             int    // how many to send back
}

func (d *dgrams) OnConn(c *Conn) ConnHandler { return &dgrams{conn: c} }
func (d *dgrams) OnDatagram(data []byte, early bool) {
	d.got.Add(1)
	if early {
		d.early.Add(1)
	}
	if d.conn.Server() {
		d.owed = append(d.owed[:0], data...)
		d.owes++
	}
}

// OnFlush echoes as much as the queue takes.
func (d *dgrams) OnFlush() {
	for d.owes > 0 && d.conn.SendDatagram(d.owed, 0) == nil {
		d.owes--
	}
}

func (d *dgrams) OnDatagramAcked(uint64) { d.acked.Add(1) }
func (d *dgrams) OnDatagramLost(uint64)  { d.lost.Add(1) }

func datagramWire(t testing.TB) (*wire, *dgrams) {
	w := newWire(t)
	w.server.cfg.MaxDatagram, w.client.cfg.MaxDatagram = 65535, 65535
	conn, _ := w.connect(t)
	w.accepted.setHandler(&dgrams{conn: w.accepted})
	d := &dgrams{conn: conn}
	conn.setHandler(d)
	return w, d
}

// Datagrams go out with the turn in which they were sent.
func TestDatagramGoesWithTheTurn(t *testing.T) {
	w, d := datagramWire(t)
	w.step(time.Second)
	assert.Positive(t, d.conn.MaxDatagramSize())
	require.NoError(t, d.conn.SendDatagram([]byte("hello"), 1))
	assert.Equal(t, 1, d.conn.QueuedDatagrams())
	w.carry(w.client, w.server, wireClient, wireServer)
	w.carry(w.server, w.client, wireServer, wireClient)
	assert.EqualValues(t, 1, d.got.Load(), "there and back in no time")
	w.step(time.Second)
	w.step(time.Second)
	assert.EqualValues(t, 1, d.acked.Load())
}

// A closed connection brings no more datagrams to its application.
func TestNoDatagramAfterClose(t *testing.T) {
	w, d := datagramWire(t)
	w.step(time.Second)
	require.NoError(t, d.conn.SendDatagram([]byte("hello"), 1))
	d.conn.CloseAfterFlush(0, "")
	for range 10 {
		w.step(100 * time.Millisecond)
	}
	assert.Zero(t, d.got.Load()+d.acked.Load()+d.lost.Load())
}

func TestDatagramsOverSockets(t *testing.T) {
	leakCheck(t)
	srv := start(t, Config{TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0"}, Handler: &dgrams{}, MaxDatagram: 65535, Workers: 2})
	e := start(t, Config{MaxDatagram: 65535, Workers: 1})
	d := &dgrams{}
	conn, err := e.Dial(within(t), srv.Addrs()[0].String(), DialConfig{TLS: clientTLS(t), ServerName: "localhost", Handler: d,
		Ready: func(c *Conn) { d.conn = c }})
	require.NoError(t, err)
	const n = 2000
	sent := 0
	var more func()
	more = func() {
		for sent < n && conn.SendDatagram(make([]byte, 1000), uint64(sent)) == nil {
			sent++
		}
		if sent < n {
			conn.Post(more)
		}
	}
	conn.Post(more)
	eventually(t, func() bool { return d.acked.Load()+d.lost.Load() >= n }, "datagrams without a fate")
	eventually(t, func() bool { return d.got.Load() >= d.acked.Load()/2 }, "too few came back")
	conn.Post(func() { conn.Close(0, "") })
}

// SendDatagram checks before it copies.
func TestSendDatagramRefuses(t *testing.T) {
	w := newWire(t)
	conn, _ := w.connect(t)
	w.step(time.Second)
	assert.ErrorIs(t, conn.SendDatagram(make([]byte, 1<<20), 1), ngtcp2.ErrDatagramTooLarge)
	assert.ErrorIs(t, conn.SendDatagram(nil, 1), ngtcp2.ErrDatagramOff)
	assert.Zero(t, conn.QueuedDatagrams())
}

// burst sends more than the queue holds, as it has room.
type burst struct {
	conn       *Conn
	left       int
	acked, bad atomic.Int64
}

func (b *burst) OnDatagram([]byte, bool) {}
func (b *burst) OnDatagramAcked(uint64)  { b.acked.Add(1) }
func (b *burst) OnDatagramLost(uint64)   { b.bad.Add(1) }
func (b *burst) OnFlush() {
	for ; b.left > 0 && b.conn.SendDatagram(make([]byte, 100), 0) == nil; b.left-- {
	}
}

// What had no room goes on with the next packets: DialConfig.Datagrams of a DialConn.
func TestDialConnFlushesDatagrams(t *testing.T) {
	leakCheck(t)
	srv := start(t, Config{TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0"}, Handler: &dgrams{}, MaxDatagram: 65535})
	e := start(t, Config{MaxDatagram: 65535, Workers: 1})
	b := &burst{}
	conn, err := e.DialConn(within(t), srv.Addrs()[0].String(), DialConfig{TLS: clientTLS(t), ServerName: "localhost", Datagrams: b})
	require.NoError(t, err)
	const n = 5 * ngtcp2.MaxQueuedDatagrams
	conn.Conn().Post(func() {
		b.conn, b.left = conn.Conn(), n
		b.conn.MarkDirty()
	})
	eventually(t, func() bool { return b.acked.Load()+b.bad.Load() >= n }, "datagrams without a fate")
	conn.Close()
}
