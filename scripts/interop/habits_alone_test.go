package interop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aloneBehaviours are those that no other broker has tests for.
var aloneBehaviours = []behaviour{
	{name: "the same packet id on two streams, both ways", run: sameID},
	{name: "no will when a publishing stream ends", run: noWill},
	{name: "RESET and FIN in mid packet", run: midPacket},
	{name: "keep alive by traffic on data streams only", run: keepAliveOnData},
	{name: "a stalled subscribing stream stops no other", run: stalled, cell: needsData},
	{name: "more streams than the limit", run: moreStreams, cell: opensMore},
	{name: "data stream opened, CONNECT refused", run: connectRefused},
	{name: "streams opened out of order", run: outOfOrder},
	{name: "DISCONNECT, CONNECTION_CLOSE right behind", run: disconnectAndClose, once: true},
	{name: "migration during QoS 2", run: migrates, cell: migratesOrRebinds},
	{name: "loss, reordering, duplication of 20 % each", run: veryBadPath, once: true},
	{name: "a stream for each PUBLISH, with its FIN", run: streamPerPublish, cell: opensMore},
	{name: "QoS 0 in datagrams upstream", run: datagramsUp, cell: sendsDatagrams, once: true},
}

func sameID(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	for qos := byte(1); qos <= 2; qos++ {
		topic, id := unique("habits/same"), c.id()
		ins, outs := c.ins(2), c.outs(2)
		for i := range 2 {
			ins[i].subscribe(c.id(), topicOf(topic, i), qos)
		}
		for i, out := range outs {
			m := c.publication(topicOf(topic, i), fmt.Sprint(i), qos)
			m.PacketID = id
			out.send(m)
		}
		first, second := ins[0].arrives(), ins[1].arrives()
		assert.NotEqual(t, first.PacketID, second.PacketID)
		for _, out := range outs {
			if qos == 1 {
				answer[*packets.Puback](out, id)
			} else {
				answer[*packets.Pubrec](out, id)
			}
		}
		if qos == 2 {
			for _, out := range outs {
				out.send(&packets.Pubrel{PacketID: id, Properties: &packets.Properties{}})
				assert.Zero(t, answer[*packets.Pubcomp](out, id).ReasonCode)
			}
		}
		ins[1].acknowledge(second)
		ins[0].acknowledge(first)
		assert.ElementsMatch(t, []string{"0", "1"}, []string{string(first.Payload), string(second.Payload)})
	}
	c.disconnect()
}

func noWill(t *testing.T, p *place) {
	will := unique("habits/will")
	watch := p.watch(t, will, 1)
	for _, way := range waysToEnd {
		c := p.connect(t, connectOptions{will: will})
		topic := unique("habits/will")
		in := c.subscribed(topic, 1)
		for i, out := range c.outs(2) {
			c.publish(out, topic, fmt.Sprint(i), 1)
			in.gets(1, topic, fmt.Sprint(i))
			way.end(out.s)
		}
		c.control.ping()
		in.ping()
		c.disconnect()
	}
	watch.ping()
}

// midPacket: what is cut off is not published, what came before is.
func midPacket(t *testing.T, p *place) {
	for _, way := range []wayToEnd{waysToEnd[0], waysToEnd[2], waysToEnd[3]} {
		c := p.connect(t, connectOptions{})
		topic := unique("habits/cut")
		in := c.subscribed(topic, 1)
		outs := c.outs(2)
		out, other := outs[0], outs[1]
		whole, cut := c.publication(topic, "whole", 1), encoded(c.publication(topic, "cut", 1))
		out.send(whole)
		out.accepted(1, whole.PacketID)
		in.gets(1, topic, "whole")
		out.raw(cut[:len(cut)-1])
		way.end(out.s)
		c.publish(other, topic, "next", 1)
		in.gets(1, topic, "next")
		in.ping()
		c.control.ping()
		c.disconnect()
	}
}

func keepAliveOnData(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{keepAlive: 2})
	out := c.outs(1)[0]
	for begin := time.Now(); time.Since(begin) < 4*time.Second; { // one and a half times the keep alive, and more
		c.publish(out, "habits/alive", "x", 1)
		time.Sleep(200 * time.Millisecond) // the pace of a client that is alive
	}
	c.control.ping()
	c.dismissed(0x8D) // then it is silent
}

// stalled: a stream is not read, until its windows are full. All that waits for it comes when it is.
func stalled(t *testing.T, p *place) {
	const count = 80 // 800 KB; the stream's window is 512 KB
	large := strings.Repeat("x", 10_000)
	c := p.connect(t, connectOptions{})
	from := p.plain(t, false, connectOptions{})
	for qos := range byte(3) {
		topic, ins := unique("habits/stalled"), c.ins(2)
		lanes := append(ins[1:], c.control)
		ins[0].subscribe(c.id(), topic, qos)
		for i, l := range lanes {
			l.subscribe(c.id(), topicOf(topic, i), qos)
		}
		for range count {
			from.publish(from.control, topic, large, qos)
		}
		for n := range 10 {
			for i, l := range lanes {
				from.publish(from.control, topicOf(topic, i), fmt.Sprint(n), qos)
				l.gets(qos, topicOf(topic, i), fmt.Sprint(n))
			}
		}
		ins[0].gets(qos, topic, slices.Repeat([]string{large}, count)...)
	}
	c.disconnect()
}

const noteFive = "its five streams are all it has"

const noteQuicheLimit = "@matrixai/quic opens no more streams once one has been refused"

func opensMore(h habit) (bool, string) {
	switch {
	case h.afterConnect != nil:
		return false, noteFive
	case h.quiche:
		return false, noteQuicheLimit
	}
	return true, ""
}

// moreStreams: the client waits for the server to allow another stream, which it does when one has ended.
func moreStreams(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	uni, limit := !p.onData, 0
	var open []*lane
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		s, err := c.mux.open(ctx, uni)
		cancel()
		if err != nil {
			break
		}
		l := newLane(t, s, &c.session.given)
		if uni {
			l.back = c.control
		}
		open, limit = append(open, l), limit+1
		require.Less(t, limit, 1000, "there is a limit")
	}
	assert.GreaterOrEqual(t, limit, 16)
	for range 100 {
		c.publish(open[0], "habits/more", "x", 1)
		open[0].s.fin()
		if !uni {
			open[0].ended()
		}
		open = append(open[1:], c.stream(uni))
		if uni {
			open[len(open)-1].back = c.control
		}
	}
	c.control.ping()
	c.disconnect()
}

func connectRefused(t *testing.T, p *place) {
	topic := unique("habits/refused")
	watch := p.watch(t, topic, 1)
	c := p.dialed(t, connectOptions{})
	for _, l := range []*lane{c.stream(!p.onData), c.stream(true)} {
		l.send(c.publication(topic, "from outside", 1))
	}
	packet := c.connectPacket(connectOptions{})
	packet.Properties.AuthMethod = "none that is known"
	c.control.send(packet)
	c.dismissed(0x8C)
	from := p.plain(t, false, connectOptions{})
	from.publish(from.control, topic, "end", 1)
	watch.gets(1, topic, "end")
}

// outOfOrder: the third stream is the first one to carry something, before the CONNECT.
func outOfOrder(t *testing.T, p *place) {
	c := p.dialed(t, connectOptions{})
	topic := unique("habits/order")
	watch := p.watch(t, topic, 1)
	var lanes [3]*lane
	for i := range lanes {
		lanes[i] = c.stream(!p.onData)
	}
	var ids [3]uint16
	for _, i := range []int{2, 0} {
		m := c.publication(topic, fmt.Sprint(i), 1)
		ids[i] = m.PacketID
		lanes[i].send(m)
	}
	c.accepted(connectOptions{})
	m := c.publication(topic, "1", 1)
	ids[1] = m.PacketID
	lanes[1].send(m)
	for i, l := range lanes {
		l.accepted(1, ids[i])
	}
	assert.ElementsMatch(t, []string{"0", "1", "2"}, watch.payloads(3))
	c.disconnect()
}

// disconnectAndClose: one comes right behind the other, flowsdk has both in one datagram. The will is not due.
func disconnectAndClose(t *testing.T, p *place) {
	will := unique("habits/will")
	watch := p.watch(t, will, 1)
	slow := *p
	reason := strings.Repeat("x", 300) // by which its datagram is known
	sent := make(chan struct{}, 100)
	slow.path = path(t, p.broker.quic, Damage{Delay: 20 * time.Millisecond, Filter: func(toServer bool, datagram []byte) bool {
		if toServer && len(datagram) > len(reason) && len(datagram) < 2*len(reason) {
			sent <- struct{}{}
		}
		return true
	}})
	for range 5 {
		o := connectOptions{will: will, session: newSession()}
		c := slow.connect(t, o)
		for len(sent) > 0 {
			<-sent // of the handshake
		}
		c.control.send(&packets.Disconnect{Properties: &packets.Properties{ReasonString: reason}})
		select {
		case <-sent:
		case <-time.After(patience):
			require.Fail(t, "no DISCONNECT")
		}
		c.mux.end(0)
		slow.connect(t, connectOptions{}) // after them on the same path
		c = p.plain(t, false, o)          // if the connection were still there, its will would be due now
		assert.True(t, c.present)
		c.control.send(&packets.Disconnect{Properties: &packets.Properties{}})
	}
	watch.ping()
}

const noteRebinds = "this stack has no migration: a NAT gives it another port"

func migratesOrRebinds(h habit) (bool, string) {
	if h.noMigration {
		return true, noteRebinds
	}
	return true, ""
}

// migrates goes to another port between each two steps of QoS 2, both ways.
func migrates(t *testing.T, p *place) {
	move := func(*emulated) { p.path.Rebind() }
	if !p.noMigration {
		from := *p
		from.dial = dialGoAt(t)
		p = &from
		move = func(c *emulated) {
			path, err := c.mux.(goMux).conn.AddPath(quicGoAt(t, "127.0.0.1:0"))
			require.NoError(t, err)
			require.NoError(t, path.Probe(within(t, lanePatience)))
			require.NoError(t, path.Switch())
		}
	}
	c := p.connect(t, connectOptions{})
	topic := unique("habits/migrates")
	in, out := c.subscribed(topic, 2), c.outs(1)[0]
	m := c.publication(topic, "x", 2)
	out.send(m)
	answer[*packets.Pubrec](out, m.PacketID)
	got := in.arrives()
	move(c)
	out.accepted(2)
	out.send(&packets.Pubrel{PacketID: m.PacketID, Properties: &packets.Properties{}})
	assert.Zero(t, answer[*packets.Pubcomp](out, m.PacketID).ReasonCode)
	in.received(got)
	move(c)
	in.complete(got.PacketID)
	c.publish(out, topic, "y", 2)
	in.gets(2, topic, "y")
	in.ping()
	c.control.ping()
	c.disconnect()
}

// veryBadPath: every message of every stream arrives, in the order of its stream, once.
func veryBadPath(t *testing.T, p *place) {
	const count = 10
	worse := *p
	worse.bad = true
	worse.path = path(t, p.broker.quic, Damage{Drop: 0.2, Duplicate: 0.2, Reorder: 0.2})
	c := worse.connect(t, connectOptions{})
	topic, ins, outs := unique("habits/worse"), c.ins(2), c.outs(2)
	for i, in := range ins {
		in.subscribe(c.id(), topicOf(topic, i), 2)
	}
	var ids [2][]uint16
	for i, out := range outs {
		var batch []packets.Packet
		for n := range count {
			m := c.publication(topicOf(topic, i), fmt.Sprint(n), 2)
			batch, ids[i] = append(batch, m), append(ids[i], m.PacketID)
		}
		out.send(batch...)
	}
	next := map[string]int{}
	for i, out := range outs {
		out.accepted(2, ids[i]...)
	}
	for _, in := range ins {
		for range count {
			m := in.message()
			assert.Equal(t, fmt.Sprint(next[m.Topic]), string(m.Payload))
			next[m.Topic]++
		}
	}
	for _, in := range ins {
		in.ping()
	}
}

// streamPerPublish: the client does not wait for anything but streams.
func streamPerPublish(t *testing.T, p *place) {
	const count = 60
	c := p.connect(t, connectOptions{})
	for qos := range byte(2) { // PUBREL would need the stream
		topic := unique("habits/each")
		watch := p.watch(t, topic, qos)
		var list []*lane
		var ids []uint16
		for n := range count {
			m := c.publication(topic, fmt.Sprint(n), qos)
			out := c.outs(1)[0]
			out.send(m)
			out.s.fin()
			list, ids = append(list, out), append(ids, m.PacketID)
			if n >= 10 { // streams come back when they are over
				list[n-10].accepted(qos, ids[n-10])
				if p.onData {
					list[n-10].ended()
				}
			}
		}
		got := map[string]bool{}
		for _, payload := range watch.payloads(count) {
			got[payload] = true
		}
		assert.Len(t, got, count)
		for n := count - 10; n < count; n++ {
			list[n].accepted(qos, ids[n])
		}
		watch.ping()
	}
	c.disconnect()
}

const noteNoDatagrams = "it sends no datagrams"

func sendsDatagrams(h habit) (bool, string) {
	if !h.datagrams {
		return false, noteNoDatagrams
	}
	return true, ""
}

// datagramsUp: each datagram is a PUBLISH.
func datagramsUp(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	topic := unique("habits/datagrams")
	watch := p.watch(t, topic, 0)
	conn := c.mux.(goMux).conn
	require.True(t, conn.ConnectionState().SupportsDatagrams.Remote)
	for n := range 20 {
		require.NoError(t, conn.SendDatagram(encoded(c.publication(topic, fmt.Sprint(n), 0))))
		watch.gets(0, topic, fmt.Sprint(n))
	}
	c.control.ping()
	c.disconnect()
}
