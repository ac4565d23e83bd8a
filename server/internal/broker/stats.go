package broker

import (
	"sync/atomic"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// DropReason says why a message was not delivered to a session or not stored.
type DropReason uint8

// Drop reasons.
const (
	DropQueueFull    DropReason = iota // MaxQueuedMessages or MaxQueuedBytes of the session
	DropExpired                        // Message Expiry Interval or MaxQueuedAge passed before delivery began
	DropTooLarge                       // above the client's Maximum Packet Size [MQTT-3.1.2-25]
	DropOffline                        // QoS 0 for a session without a connection
	DropSessionEnded                   // waited in a session that came to its end
	DropHandler                        // a publish handler dropped or refused it
	DropRetainedFull                   // delivered but not stored: MaxRetainedMessages or MaxRetainedBytes
	DropOfflineFull                    // MaxOfflineBytes of all sessions without a connection
	DropStreamClosed                   // QoS 0 that waited for a data stream that was closed
	numDropReasons
)

var dropNames = [numDropReasons]string{
	"queue_full", "expired", "too_large", "offline", "session_ended", "handler", "retained_full", "offline_full", "stream_closed",
}

// String is the reason in the form of a metric label, e.g. "queue_full".
func (r DropReason) String() string {
	if r < numDropReasons {
		return dropNames[r]
	}
	return "unknown"
}

// full reports whether there would have been room in an emptier queue.
func (r DropReason) full() bool { return r == DropQueueFull || r == DropOfflineFull }

// Stats is a snapshot of the broker's counters. Totals count from New.
type Stats struct {
	Connections         int64 // network connections open now, with or without CONNECT
	Clients             int64 // clients let in and connected now
	Streams             int64 // data streams open now, of QUIC clients, besides their control streams
	Sessions            int64 // sessions now, connected or not
	Subscriptions       int64 // subscriptions now, shared ones included
	SharedSubscriptions int64 // of these, shared ones
	Retained            int64 // retained messages now
	RetainedBytes       int64 // their size
	OfflineBytes        int64 // size of the messages kept for sessions without a connection

	ClientsTotal      uint64 // CONNECTs accepted
	SessionsResumed   uint64 // of these, with Session Present
	Takeovers         uint64
	SessionsExpired   uint64
	WillsPublished    uint64
	SubscribesTotal   uint64 // subscriptions granted
	UnsubscribesTotal uint64 // subscriptions ended by UNSUBSCRIBE
	Moves             uint64 // changes of a client's address, see Handlers.Moved
	HandlerPanics     uint64
	StreamFaults      uint64 // data streams that were reset for what came on them
	BytesReceived     uint64 // MQTT bytes
	BytesSent         uint64
	PacketsReceived   uint64 // of any type
	PacketsSent       uint64
	MessagesReceived  [3]uint64 // PUBLISH from clients by QoS, resends included
	MessagesSent      [3]uint64 // PUBLISH to clients by QoS, resends included

	DatagramsReceived uint64 // messages that came in QUIC datagrams
	DatagramsDropped  uint64 // datagrams from clients that were none, or came when they may not
	DatagramsSent     uint64 // messages sent in QUIC datagrams
	DatagramsLost     uint64 // of these, taken for lost
	DatagramsTooLarge uint64 // messages for which a datagram was too small, sent on a stream
	DatagramsFull     uint64 // messages for which too many datagrams waited, sent on a stream

	Refused     map[packet.ReasonCode]uint64 // CONNECTs refused, by code
	Disconnects map[packet.ReasonCode]uint64 // clients gone, by code; UnspecifiedError = connection lost
	Dropped     map[DropReason]uint64        // messages not delivered or not stored
}

// counters is the live form of Stats. What the hot path counts is added up per Feed
// or Flush first.
type counters struct {
	connections, clients, subscriptions, shared, offline atomic.Int64
	streams                                              atomic.Int64
	packetsIn, packetsOut                                atomic.Uint64
	clientsTotal, resumed, takeovers, expired, wills     atomic.Uint64
	subscribes, unsubscribes, panics, bytesIn, bytesOut  atomic.Uint64
	moves, streamFaults                                  atomic.Uint64
	messagesIn, messagesOut                              [3]atomic.Uint64
	datagramsIn, datagramsDropped, datagramsOut          atomic.Uint64
	datagramsLost, datagramsTooLarge, datagramsFull      atomic.Uint64
	refused, disconnects                                 [256]atomic.Uint64
	dropped                                              [numDropReasons]atomic.Uint64
}

// Stats gives a snapshot. Any goroutine; the numbers need not belong to one moment.
func (b *Broker) Stats() Stats {
	n := &b.count
	s := Stats{
		Connections:         n.connections.Load(),
		Clients:             n.clients.Load(),
		Streams:             n.streams.Load(),
		Sessions:            int64(b.cfg.Sessions.Len()),
		Subscriptions:       n.subscriptions.Load(),
		SharedSubscriptions: n.shared.Load(),
		PacketsReceived:     n.packetsIn.Load(),
		PacketsSent:         n.packetsOut.Load(),
		OfflineBytes:        n.offline.Load(),
		ClientsTotal:        n.clientsTotal.Load(),
		SessionsResumed:     n.resumed.Load(),
		Takeovers:           n.takeovers.Load(),
		SessionsExpired:     n.expired.Load(),
		WillsPublished:      n.wills.Load(),
		SubscribesTotal:     n.subscribes.Load(),
		UnsubscribesTotal:   n.unsubscribes.Load(),
		Moves:               n.moves.Load(),
		HandlerPanics:       n.panics.Load(),
		StreamFaults:        n.streamFaults.Load(),
		BytesReceived:       n.bytesIn.Load(),
		BytesSent:           n.bytesOut.Load(),
		DatagramsReceived:   n.datagramsIn.Load(),
		DatagramsDropped:    n.datagramsDropped.Load(),
		DatagramsSent:       n.datagramsOut.Load(),
		DatagramsLost:       n.datagramsLost.Load(),
		DatagramsTooLarge:   n.datagramsTooLarge.Load(),
		DatagramsFull:       n.datagramsFull.Load(),
		Refused:             byCode(&n.refused),
		Disconnects:         byCode(&n.disconnects),
		Dropped:             make(map[DropReason]uint64),
	}
	s.Retained, s.RetainedBytes = b.cfg.Retained.Size()
	for i := range s.MessagesReceived {
		s.MessagesReceived[i] = n.messagesIn[i].Load()
		s.MessagesSent[i] = n.messagesOut[i].Load()
	}
	for r := range n.dropped {
		if v := n.dropped[r].Load(); v > 0 {
			s.Dropped[DropReason(r)] = v
		}
	}
	return s
}

func byCode(n *[256]atomic.Uint64) map[packet.ReasonCode]uint64 {
	m := make(map[packet.ReasonCode]uint64)
	for code := range n {
		if v := n[code].Load(); v > 0 {
			m[packet.ReasonCode(code)] = v
		}
	}
	return m
}

// tally is what one Feed adds to the counters.
type tally struct {
	messages [3]uint64
	packets  uint64
}

// add counts a Feed and clears n.
func (k *counters) add(bytes int, n *tally) {
	k.bytesIn.Add(uint64(bytes))
	if n.packets > 0 {
		k.packetsIn.Add(n.packets)
		n.packets = 0
	}
	for qos, v := range n.messages {
		if v > 0 {
			k.messagesIn[qos].Add(v)
			n.messages[qos] = 0
		}
	}
}
