package endpoint

import (
	"iter"
	"sync/atomic"
)

// Counter names one thing that is counted.
type Counter uint8

// Counters. Those that start with Drop count datagrams that went no further,
// by reason.
const (
	DatagramsReceived Counter = iota
	BytesReceived
	DatagramsSent // counted when handed to the socket
	BytesSent
	SendBlocked         // times that a socket's send buffer was full
	Accepted            // connections made for clients
	Dialed              // connections made to servers
	HandshakesCompleted // of both roles: full and resumed ones
	HandshakesFull
	HandshakesResumed // with a session of an earlier connection
	EarlyDataAccepted // completed handshakes with 0-RTT data that was taken
	EarlyDataRejected // and with such data that was turned down
	ClosedByPeer
	ClosedLocally
	ClosedByError // this side found a fault in the peer's packets or in TLS
	ClosedIdle
	ClosedHandshakeTimeout
	ClosedStatelessReset // the peer lost its state
	ClosedShutdown       // cut off by the end of Shutdown
	VersionNegotiations
	Retries
	StatelessResets
	Refused     // CONNECTION_REFUSED and INVALID_TOKEN sent without a connection
	KeptAhead   // datagrams that waited for the ClientHello that they overtook, or parts of them
	Forwarded   // datagrams given to the worker that owns them
	PathChanges // migrations of either side, NAT rebindings, preferred addresses
	PathsFailed // paths whose validation failed

	DropMalformed   // no QUIC packet
	DropTruncated   // longer than a receive slot
	DropUnknownCID  // no connection, and nothing to answer
	DropNotInitial  // no connection, and not a valid first packet
	DropRateLimited // an answer was due, but too many were sent
	DropForwardFull // the owner's inbox was full
	DropShutdown    // new connections during Shutdown
	DropNoBuffer    // no room for an answer
	DropRepeated    // a Retry has answered the datagram before
	DropAhead       // before its ClientHello, which did not come in time, or too many

	GROMessages  // messages from the kernel that held several datagrams
	GRODatagrams // these datagrams
	GSOMessages  // runs of several datagrams given to the kernel as one
	GSODatagrams // these datagrams

	// Of connections that have ended; Endpoint.LiveStats adds the others.

	PacketsSent // QUIC packets; a datagram may hold several
	PacketsReceived
	PacketsDiscarded // could not be decrypted, or came twice
	PacketsLost      // what was in them is sent again where it matters
	BytesLost
	KeyUpdates

	// CONNECTION_CLOSE frames by error code (RFC 9000 section 20): zero of either kind,
	// of the transport, of TLS (0x100 to 0x1ff), of the application.

	CloseSentNoError
	CloseSentTransport
	CloseSentTLS
	CloseSentApplication
	CloseReceivedNoError
	CloseReceivedTransport
	CloseReceivedTLS
	CloseReceivedApplication

	LogsMissed // records of qlog and of ngtcp2's log, and connections without, see Config.Qlog
	numCounters
)

var counterNames = [numCounters]string{
	"datagrams_received", "bytes_received", "datagrams_sent", "bytes_sent", "send_blocked",
	"accepted", "dialed", "handshakes_completed", "handshakes_full", "handshakes_resumed",
	"early_data_accepted", "early_data_rejected",
	"closed_by_peer", "closed_locally", "closed_by_error", "closed_idle",
	"closed_handshake_timeout", "closed_stateless_reset", "closed_shutdown",
	"version_negotiations", "retries", "stateless_resets", "refused", "kept_ahead", "forwarded", "path_changes", "paths_failed",
	"drop_malformed", "drop_truncated", "drop_unknown_cid", "drop_not_initial",
	"drop_rate_limited", "drop_forward_full", "drop_shutdown", "drop_no_buffer", "drop_repeated", "drop_ahead",
	"gro_messages", "gro_datagrams", "gso_messages", "gso_datagrams",
	"packets_sent", "packets_received", "packets_discarded", "packets_lost", "bytes_lost", "key_updates",
	"close_sent_no_error", "close_sent_transport", "close_sent_tls", "close_sent_application",
	"close_received_no_error", "close_received_transport", "close_received_tls", "close_received_application",
	"logs_missed",
}

// String is the counter's name in snake case.
func (c Counter) String() string { return counterNames[c] }

// Stats is a snapshot of an Endpoint.
type Stats struct {
	Conns       int64  // live connections, handshakes included
	Handshakes  int64  // of them, clients' whose handshake is not complete
	SendRefused uint64 // messages that the kernel refused to send
	counts      [numCounters]uint64
}

// Count is the value of one counter.
func (s *Stats) Count(c Counter) uint64 { return s.counts[c] }

// All yields every counter.
func (s *Stats) All() iter.Seq2[Counter, uint64] {
	return func(yield func(Counter, uint64) bool) {
		for i, n := range s.counts {
			if !yield(Counter(i), n) {
				return
			}
		}
	}
}

// add adds what another worker has counted.
func (s *Stats) add(other *Stats) {
	for i, n := range other.counts {
		s.counts[i] += n
	}
}

// counters are one worker's; it alone adds, anyone reads.
type counters [numCounters]atomic.Uint64

func (c *counters) add(i Counter, n int) { c[i].Add(uint64(n)) }

func (c *counters) inc(i Counter) { c[i].Add(1) }

func (c *counters) addTo(s *Stats) {
	for i := range c {
		s.counts[i] += c[i].Load()
	}
}

// shared is what the workers of one Endpoint have in common.
type shared struct {
	conns      atomic.Int64
	handshakes atomic.Int64
	done       chan struct{} // of the Endpoint; nil without one
	recorder   *recorder     // nil without Config.Qlog and LogQUIC
}

// addTo adds what the workers have in common.
func (sh *shared) addTo(s *Stats) {
	s.Conns, s.Handshakes = sh.conns.Load(), sh.handshakes.Load()
	if sh.recorder != nil {
		s.counts[LogsMissed] = sh.recorder.missed.Load()
	}
}
