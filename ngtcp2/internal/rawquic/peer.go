package rawquic

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
)

const (
	minInitial = 1200 // bytes of a datagram with an Initial packet
	cryptoPart = 1000 // bytes of TLS in one packet
)

// Config describes a Peer.
type Config struct {
	// TLS needs NextProtos, and Certificates (server) or RootCAs and ServerName
	// (client). It is cloned.
	TLS *tls.Config
	// Params, when set, changes the honest transport parameters.
	Params func(Params) Params
	// RawParams, when set, changes their encoding.
	RawParams func([]byte) []byte
	// Message, when set, changes TLS messages before they are sent; one call may
	// have several. The handshake can not complete when it does.
	Message func(Level, []byte) []byte
	// RetryToken makes a server answer the first Initial with a Retry packet.
	RetryToken []byte
	// NoHandshakeDone keeps a server from confirming the handshake.
	NoHandshakeDone bool
	// NoCID gives the Peer a CID of length zero.
	NoCID bool
	// NoAck keeps the Peer from acknowledging 1-RTT packets.
	NoAck bool
}

// Close is a CONNECTION_CLOSE that was received.
type Close struct {
	Level   Level
	App     bool // frame type 0x1d
	Code    uint64
	Trigger uint64 // type of the frame that it blames; 0 = unknown
	Reason  string
}

// Peer is one end of a connection. Make it with NewClient or NewServer, end it
// with Free.
type Peer struct {
	// Received are all frames so far. A test may empty it.
	Received []Frame
	// DCID and SCID are in the headers of what is sent: the other side's CID and
	// the Peer's own. ODCID is the client's first choice, RetrySCID that of a
	// Retry packet, and Token what Initial packets carry.
	DCID, SCID, ODCID, RetrySCID, Token []byte
	// PeerParams are the other side's transport parameters, once known.
	PeerParams Params
	// Unreadable counts packets that did not decrypt, Versions the Version
	// Negotiation packets.
	Unreadable, Versions int

	cfg      Config
	client   bool
	tls      *tls.QUICConn
	read     [4]*keys
	write    [4]*keys
	readNext *keys // 1-RTT keys of the other phase
	phase    int   // key updates of what is sent
	inPhase  int   // and of what is received
	spaces   [4]pnSpace
	out      [][]byte // datagrams that are not made of packets: Retry
	hello    []byte
	closed   *Close
	complete bool
	done     bool // HANDSHAKE_DONE has been sent
	retried  bool
}

// NewClient makes a client; Flight has its first datagram.
func NewClient(cfg Config) (*Peer, error) {
	p := newPeer(cfg)
	p.client = true
	p.DCID, p.ODCID = random(cidLen), nil
	p.ODCID = p.DCID
	p.tls = tls.QUICClient(&tls.QUICConfig{TLSConfig: p.tlsConfig()})
	p.write[Initial], p.read[Initial] = initialKeys(p.DCID)
	return p, p.start()
}

// NewServer makes a server, which begins with the first datagram it receives.
func NewServer(cfg Config) *Peer {
	p := newPeer(cfg)
	p.tls = tls.QUICServer(&tls.QUICConfig{TLSConfig: p.tlsConfig()})
	return p
}

func newPeer(cfg Config) *Peer {
	p := &Peer{cfg: cfg, SCID: random(cidLen)}
	if cfg.NoCID {
		p.SCID = []byte{}
	}
	return p
}

func (p *Peer) tlsConfig() *tls.Config {
	c := p.cfg.TLS.Clone()
	c.MinVersion = tls.VersionTLS13
	if c.CurvePreferences == nil {
		c.CurvePreferences = []tls.CurveID{tls.X25519} // a ClientHello of one packet
	}
	return c
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// Free ends the TLS side.
func (p *Peer) Free() { _ = p.tls.Close() }

// Complete reports whether this side's handshake is complete.
func (p *Peer) Complete() bool { return p.complete }

// Closed is the CONNECTION_CLOSE that was received, nil if none was.
func (p *Peer) Closed() *Close { return p.closed }

func (p *Peer) start() error {
	params := p.honest()
	if p.cfg.Params != nil {
		params = p.cfg.Params(params)
	}
	raw := params.Encode()
	if p.cfg.RawParams != nil {
		raw = p.cfg.RawParams(raw)
	}
	p.tls.SetTransportParameters(raw)
	if err := p.tls.Start(context.Background()); err != nil {
		return fmt.Errorf("rawquic: TLS: %w", err)
	}
	return p.pump()
}

// pump acts on what TLS has to say.
func (p *Peer) pump() error {
	for {
		ev := p.tls.NextEvent()
		switch ev.Kind {
		case tls.QUICNoEvent:
			return nil
		case tls.QUICErrorEvent:
			return fmt.Errorf("rawquic: TLS: %w", ev.Err)
		case tls.QUICSetReadSecret, tls.QUICSetWriteSecret:
			if err := p.setKeys(&ev); err != nil {
				return err
			}
		case tls.QUICWriteData:
			p.tlsOutput(ev.Level, append([]byte(nil), ev.Data...))
		case tls.QUICTransportParameters:
			params, ok := parseParams(append([]byte(nil), ev.Data...))
			if !ok {
				return errors.New("rawquic: transport parameters are malformed")
			}
			p.PeerParams = params
		case tls.QUICHandshakeDone:
			p.complete = true
		}
	}
}

func (p *Peer) setKeys(ev *tls.QUICEvent) error {
	k, err := newKeys(ev.Suite, ev.Data)
	if err != nil {
		return err
	}
	if ev.Kind == tls.QUICSetWriteSecret {
		p.write[ev.Level] = k
		return nil
	}
	p.read[ev.Level] = k
	if ev.Level == App {
		p.readNext = k.next()
	}
	return nil
}

func (p *Peer) tlsOutput(level Level, b []byte) {
	if p.cfg.Message != nil {
		b = p.cfg.Message(level, b)
	}
	if level == Initial {
		p.hello = append(p.hello, b...)
	}
	s := &p.spaces[level]
	s.tlsOut = append(s.tlsOut, b...)
}

// UpdateKeys begins a key update (RFC 9001 section 6): what is sent from now on is
// in the next phase. undo goes back to the phase before, as no honest peer does.
func (p *Peer) UpdateKeys() (undo func()) {
	old := p.write[App]
	p.write[App], p.phase = old.next(), p.phase+1
	return func() { p.write[App], p.phase = old, p.phase-1 }
}

// TLSOutput takes what TLS wants to send at level, so that Flight does not.
func (p *Peer) TLSOutput(level Level) []byte {
	s := &p.spaces[level]
	b := s.tlsOut
	s.tlsOut = nil
	return b
}

// Flight takes the datagrams of an honest peer: TLS messages, acknowledgements
// and HANDSHAKE_DONE, one packet each.
func (p *Peer) Flight() [][]byte {
	out := p.out
	p.out = nil
	for _, level := range []Level{Initial, Handshake, App} {
		out = append(out, p.FlightAt(level)...)
	}
	return out
}

// FlightAt takes only those of level.
func (p *Peer) FlightAt(level Level) (out [][]byte) {
	for {
		frames, h := p.due(level)
		if len(frames) == 0 {
			return out
		}
		out = append(out, p.Seal(level, h, frames))
	}
}

// due is the payload of an honest packet, empty when there is nothing to send.
func (p *Peer) due(level Level) (payload []byte, h Header) {
	s := &p.spaces[level]
	if p.write[level] == nil {
		return nil, h
	}
	if s.owed && !(p.cfg.NoAck && level == App) {
		s.owed = false
		payload = s.ack()
	}
	if n := min(len(s.tlsOut), cryptoPart); n > 0 {
		payload = append(payload, Crypto(s.tlsSent, s.tlsOut[:n])...)
		s.tlsOut, s.tlsSent = s.tlsOut[n:], s.tlsSent+uint64(n)
	}
	if level == App && !p.client && p.complete && !p.done && !p.cfg.NoHandshakeDone {
		p.done = true
		payload = append(payload, TypeHandshakeDone)
	}
	if level == Initial {
		h.Size = minInitial
	}
	return payload, h
}

// HelloLen is how many bytes of TLS this Peer has sent in Initial packets.
func (p *Peer) HelloLen() uint64 { return p.spaces[Initial].tlsSent }
