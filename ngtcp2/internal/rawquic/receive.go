package rawquic

import (
	"fmt"
	"slices"
)

// pnSpace is one packet number space, with the CRYPTO stream of its level.
type pnSpace struct {
	next    uint64     // packet number to send
	top     uint64     // highest received, plus one
	got     []pnRange  // received, ascending
	owed    bool       // an acknowledgement is due
	tlsOut  []byte     // to send
	tlsSent uint64     // offset of tlsOut
	tlsIn   []fragment // received out of order
	tlsRead uint64     // offset up to which TLS has had everything
}

type pnRange struct{ first, last uint64 }

type fragment struct {
	offset uint64
	data   []byte
}

// add notes that pn was received; false: it was before.
func (s *pnSpace) add(pn uint64) bool {
	i, found := slices.BinarySearchFunc(s.got, pn, func(r pnRange, pn uint64) int {
		switch {
		case r.last < pn:
			return -1
		case r.first > pn:
			return 1
		}
		return 0
	})
	if found {
		return false
	}
	s.got = slices.Insert(s.got, i, pnRange{pn, pn})
	if i+1 < len(s.got) && s.got[i+1].first == pn+1 {
		s.got[i].last = s.got[i+1].last
		s.got = slices.Delete(s.got, i+1, i+2)
	}
	if i > 0 && s.got[i-1].last+1 == pn {
		s.got[i-1].last = s.got[i].last
		s.got = slices.Delete(s.got, i, i+1)
	}
	s.top = max(s.top, pn+1)
	return true
}

// ack is an ACK frame for the newest ranges received.
func (s *pnSpace) ack() []byte {
	const most = 32
	got := s.got[max(0, len(s.got)-most):]
	last := got[len(got)-1]
	b := Bytes(TypeAck, last.last, 0, len(got)-1, last.last-last.first)
	for i := len(got) - 2; i >= 0; i-- {
		b = append(b, Bytes(got[i+1].first-got[i].last-2, got[i].last-got[i].first)...)
	}
	return b
}

// Receive takes one datagram. Packets that do not decrypt are counted and left
// aside, as they may be; an error says that the other side sent what it must not,
// or that TLS failed here.
func (p *Peer) Receive(datagram []byte) error {
	for len(datagram) > 0 {
		pkt, rest, err := cut(datagram, len(p.SCID))
		if err != nil && !p.complete {
			return err
		}
		if err != nil { // a stateless reset may look so
			p.Unreadable++
			return nil
		}
		if err := p.packet(&pkt); err != nil {
			return err
		}
		datagram = rest
	}
	return nil
}

func (p *Peer) packet(pkt *packet) error {
	switch {
	case pkt.first&longForm != 0 && pkt.version == 0:
		p.Versions++
		return nil
	case pkt.retry:
		return p.onRetry(pkt)
	case !p.client && p.read[Initial] == nil && !p.firstInitial(pkt):
		return nil
	}
	if p.client && pkt.level == Initial {
		p.DCID = pkt.scid
	}
	payload, pn, ok := p.open(pkt)
	if !ok {
		p.Unreadable++
		return nil
	}
	s := &p.spaces[space(pkt.level)]
	if !s.add(pn) {
		return nil
	}
	frames, err := parseFrames(payload)
	for _, f := range frames {
		f.Level, f.PN = pkt.level, pn
		p.frame(&f)
	}
	if err != nil {
		return err
	}
	return p.feedTLS(pkt.level)
}

// open removes the protection, and follows a key update of the other side.
func (p *Peer) open(pkt *packet) (payload []byte, pn uint64, ok bool) {
	k := p.read[pkt.level]
	if k == nil {
		return nil, 0, false
	}
	top := p.spaces[space(pkt.level)].top
	payload, pn, err := k.open(pkt, top, nil)
	if err == nil {
		return payload, pn, true
	}
	if pkt.level != App || (pkt.first&phaseBit != 0) == (p.inPhase&1 != 0) {
		return nil, 0, false
	}
	payload, pn, err = k.open(pkt, top, p.readNext)
	if err != nil {
		return nil, 0, false
	}
	p.inPhase++
	p.read[App], p.readNext = p.readNext, p.readNext.next()
	if p.phase < p.inPhase {
		p.UpdateKeys()
	}
	return payload, pn, true
}

// firstInitial begins a server's handshake; false: it does not begin with pkt.
func (p *Peer) firstInitial(pkt *packet) bool {
	if pkt.level != Initial {
		return false
	}
	if p.ODCID == nil {
		p.ODCID = pkt.dcid
	}
	if p.cfg.RetryToken != nil && len(pkt.token) == 0 {
		if !p.retried {
			p.retried, p.RetrySCID = true, random(cidLen)
			p.out = append(p.out, RetryPacket(pkt.scid, p.RetrySCID, pkt.dcid, p.cfg.RetryToken))
		}
		return false
	}
	p.DCID = pkt.scid
	p.read[Initial], p.write[Initial] = initialKeys(pkt.dcid)
	if err := p.start(); err != nil {
		panic(err) // a test's tls.Config is wrong
	}
	return true
}

// RetryPacket makes a Retry packet (RFC 9000 section 17.2.5).
func RetryPacket(dcid, scid, odcid, token []byte) []byte {
	b := []byte{longForm | fixedBit | typeRetry<<4, 0, 0, 0, Version1}
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(append(b, byte(len(scid))), scid...)
	b = append(b, token...)
	return append(b, retryTag(odcid, b)...)
}

// onRetry starts again with the token of a Retry packet.
func (p *Peer) onRetry(pkt *packet) error {
	if !p.client || p.retried || len(pkt.token) <= tagLen {
		return errPacket
	}
	n := len(pkt.raw) - tagLen
	if string(retryTag(p.ODCID, pkt.raw[:n])) != string(pkt.raw[n:]) {
		return fmt.Errorf("%w: integrity tag of Retry", errPacket)
	}
	p.retried, p.RetrySCID, p.DCID = true, pkt.scid, pkt.scid
	p.Token = append([]byte(nil), pkt.token[:len(pkt.token)-tagLen]...)
	p.write[Initial], p.read[Initial] = initialKeys(p.DCID)
	s := &p.spaces[Initial]
	s.tlsOut, s.tlsSent = append([]byte(nil), p.hello...), 0
	return nil
}

// frame notes a frame.
func (p *Peer) frame(f *Frame) {
	p.Received = append(p.Received, *f)
	s := &p.spaces[space(f.Level)]
	switch f.Type {
	case TypeAck, TypeAckECN:
	case TypeClose, TypeAppClose:
		if p.closed == nil {
			p.closed = &Close{Level: f.Level, App: f.Type == TypeAppClose, Code: f.Code, Trigger: f.Value, Reason: string(f.Data)}
		}
	case TypeCrypto:
		s.owed = true
		s.tlsIn = append(s.tlsIn, fragment{f.Offset, f.Data})
	default:
		s.owed = true
	}
}

// feedTLS gives TLS what is in order.
func (p *Peer) feedTLS(level Level) error {
	s := &p.spaces[level]
	for i := 0; i < len(s.tlsIn); i++ {
		f := s.tlsIn[i]
		if f.offset > s.tlsRead {
			continue
		}
		s.tlsIn = slices.Delete(s.tlsIn, i, i+1)
		i = -1
		if end := f.offset + uint64(len(f.data)); end > s.tlsRead {
			data := f.data[s.tlsRead-f.offset:]
			s.tlsRead = end
			if err := p.tls.HandleData(level, data); err != nil {
				_ = p.pump() // an alert may be among what it says
				return fmt.Errorf("rawquic: TLS: %w", err)
			}
			if err := p.pump(); err != nil {
				return err
			}
		}
	}
	return nil
}
