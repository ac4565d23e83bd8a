package broker

import (
	"net/netip"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Transport is what the broker needs of one network connection. A listener
// implements it; every method may be called from any goroutine, must not block and
// must not call back into the broker.
type Transport interface {
	// Wake asks the owner to call Client.Flush soon. Calls may be coalesced. It is
	// called by the goroutine of a publisher as well as by the owner itself, during
	// Feed too.
	Wake()
	// Close asks the owner to call Client.Flush once more, to send what that gives
	// and then to close the network connection and call Client.Closed. code says
	// why; packet.NormalDisconnection needs no error code on the wire. It may be
	// called several times; the first code counts.
	Close(code packet.ReasonCode)
	// Info describes the connection. It is called during Feed, at most once: when
	// the CONNECT has been read, or for the log when there is none.
	Info() ConnInfo
}

// Deferrer is a Transport whose owner calls Client.Flush for other connections too when
// Feed has returned. That is cheaper than Wake when it wakes a goroutine for each.
type Deferrer interface {
	// Defer takes on to do what Wake of the other transport asks for, soon after Feed
	// returns; with false it does not, and the broker calls Wake. It is called during
	// Feed, on its goroutine, and not when a handler of the program may keep Feed.
	Defer(to Transport) bool
}

// Sink is where Client.Flush writes. The owner passes it and Flush uses it before
// it returns, never later and never under a lock.
type Sink interface {
	// Room is the number of bytes that it is willing to take now. Flush stops
	// writing when it is 0 or less; the owner calls Flush again when there is room.
	// One Flush may overshoot by what was written last: all pending control
	// packets, or one message.
	Room() int
	// Write takes a copy of p.
	Write(p []byte)
	// WritePayload takes p, the payload of m, which is large enough (4 KiB) for
	// sharing to pay; smaller ones come with Write. It copies p, or it keeps p and
	// calls m.Retain now and m.Release when p is no longer referenced.
	WritePayload(p []byte, m *Message)
}

// ConnInfo describes a network connection.
type ConnInfo struct {
	Transport string         // "quic", "tcp", "tls", ...
	Listener  string         // the listener's name or address, for logs
	Remote    netip.AddrPort // the peer
	Local     netip.AddrPort // this end
	TLS       *TLSInfo       // nil without TLS
}

// certified reports whether the peer has shown a certificate that the listener has
// verified.
func (i *ConnInfo) certified() bool { return i.TLS != nil && i.TLS.PeerIdentity != "" }

// TLSInfo describes the TLS session of a connection.
type TLSInfo struct {
	Version    string // "TLS 1.3"
	Cipher     string // IANA name of the cipher suite
	ServerName string // SNI that the client sent, may be empty
	Resumed    bool   // the session was resumed
	EarlyData  bool   // early data (0-RTT) was accepted: the CONNECT may have come with it

	PeerVerified   bool     // the client has shown a certificate, and it is one of the CA; else the rest is empty
	PeerIdentity   string   // its subject, in the form of RFC 2253
	PeerCommonName string   // of the subject
	PeerDNSNames   []string // subject alternative names
	PeerEmails     []string
	PeerURIs       []string
}
