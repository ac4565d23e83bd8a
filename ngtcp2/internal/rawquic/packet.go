package rawquic

import (
	"encoding/binary"
	"errors"
)

// Version1 is QUIC version 1 (RFC 9000).
const Version1 = 1

const (
	longForm = 0x80
	fixedBit = 0x40
	phaseBit = 0x04
	// ReservedLong and ReservedShort are the reserved bits of the first byte
	// (RFC 9000 sections 17.2, 17.3.1): for Header.Flip.
	ReservedLong, ReservedShort = 0x0c, 0x18
	typeRetry                   = 3
	pnLen                       = 4 // bytes of every packet number that is sent
	cidLen                      = 8 // bytes of a CID that a Peer chooses
)

// Header changes what Seal puts into the header of a packet. Zero: honest.
type Header struct {
	Flip       byte   // bits of the first byte to turn around, before protection
	DCID, SCID []byte // nil: as the connection has them
	Token      []byte // Initial: nil = the one of a Retry
	Version    uint32 // 0 = Version1
	SkipPN     uint64 // packet numbers to leave out
	Size       int    // pad with PADDING frames to a datagram of this size
	Forge      bool   // break the authentication tag
}

var longTypes = map[Level]byte{Initial: 0, Early: 1, Handshake: 2}

// space is the packet number space of a level.
func space(l Level) Level {
	if l == Early {
		return App
	}
	return l
}

// Seal makes a protected packet with frames as its payload, which may be empty or
// garbage. nil: there are no keys for level.
func (p *Peer) Seal(level Level, h Header, frames ...[]byte) []byte {
	k := p.write[level]
	if k == nil {
		return nil
	}
	s := &p.spaces[space(level)]
	pn := s.next + h.SkipPN
	s.next = pn + 1
	var payload []byte
	for _, f := range frames {
		payload = append(payload, f...)
	}
	head := p.header(level, h)
	if fill := h.Size - len(head) - pnLen - len(payload) - tagLen - 2; fill > 0 {
		payload = append(payload, make([]byte, fill)...)
	}
	if level != App {
		length := pnLen + len(payload) + tagLen
		head = binary.BigEndian.AppendUint16(head, uint16(length)|1<<14)
	}
	head = binary.BigEndian.AppendUint32(head, uint32(pn))
	pkt := k.aead.Seal(head, k.nonce(pn), payload, head)
	if h.Forge {
		pkt[len(pkt)-1] ^= 1
	}
	k.protect(pkt, len(head)-pnLen)
	return pkt
}

// header is everything up to the Length field.
func (p *Peer) header(level Level, h Header) []byte {
	dcid, scid, version := p.DCID, p.SCID, uint32(Version1)
	if h.DCID != nil {
		dcid = h.DCID
	}
	if h.SCID != nil {
		scid = h.SCID
	}
	if h.Version != 0 {
		version = h.Version
	}
	if level == App {
		first := byte(fixedBit|pnLen-1) ^ h.Flip
		if p.phase&1 != 0 {
			first ^= phaseBit
		}
		return append([]byte{first}, dcid...)
	}
	b := []byte{(longForm | fixedBit | longTypes[level]<<4 | pnLen - 1) ^ h.Flip}
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(append(b, byte(len(scid))), scid...)
	if level == Initial {
		token := p.Token
		if h.Token != nil {
			token = h.Token
		}
		b = append(append(b, Varint(uint64(len(token)))...), token...)
	}
	return b
}

// protect applies header protection (RFC 9001 section 5.4).
func (k *keys) protect(pkt []byte, pnAt int) {
	mask := k.mask(pkt[pnAt+4:])
	for i := range int(pkt[0]&3) + 1 {
		pkt[pnAt+i] ^= mask[1+i]
	}
	pkt[0] ^= mask[0] & firstMask(pkt[0])
}

func firstMask(first byte) byte {
	if first&longForm != 0 {
		return 0x0f
	}
	return 0x1f
}

// packet is one received packet of a datagram.
type packet struct {
	first      byte
	level      Level
	retry      bool
	version    uint32
	dcid, scid []byte
	token      []byte
	raw        []byte // from the first byte to the last of the packet
	pnAt       int
}

var errPacket = errors.New("rawquic: a received packet is malformed")

// cut takes the first packet off a datagram; own is the length of the CIDs that
// short headers have.
func cut(b []byte, own int) (pkt packet, rest []byte, err error) {
	pkt.first, pkt.raw = b[0], b
	if b[0]&longForm == 0 {
		if len(b) < 1+own+4+hpSample {
			return pkt, nil, errPacket
		}
		pkt.level, pkt.dcid, pkt.pnAt = App, b[1:1+own], 1+own
		return pkt, nil, nil
	}
	r := &reader{b: b[1:]}
	if v := r.bytes(4); v != nil {
		pkt.version = binary.BigEndian.Uint32(v)
	}
	pkt.dcid, pkt.scid = r.cid(), r.cid()
	kind := b[0] >> 4 & 3
	if pkt.version == 0 || kind == typeRetry {
		pkt.retry, pkt.token = pkt.version != 0, r.b
		return pkt, nil, nil
	}
	pkt.level = []Level{Initial, Early, Handshake}[kind]
	if pkt.level == Initial {
		pkt.token = r.block()
	}
	n := r.varint()
	pkt.pnAt = len(b) - len(r.b)
	if r.bytes(n); r.bad || n < 4+hpSample {
		return pkt, nil, errPacket
	}
	end := pkt.pnAt + int(n)
	pkt.raw = b[:end]
	return pkt, b[end:], nil
}

func (r *reader) cid() []byte {
	n := r.bytes(1)
	if n == nil {
		return nil
	}
	return append([]byte(nil), r.bytes(uint64(n[0]))...)
}

// open removes the protection of pkt. largest is the highest packet number so far
// in its space, plus one.
func (k *keys) open(pkt *packet, largest uint64, k1 *keys) (payload []byte, pn uint64, err error) {
	b := append([]byte(nil), pkt.raw...)
	mask := k.mask(b[pkt.pnAt+4:])
	b[0] ^= mask[0] & firstMask(b[0])
	n := int(b[0]&3) + 1
	for i := range n {
		b[pkt.pnAt+i] ^= mask[1+i]
		pn = pn<<8 | uint64(b[pkt.pnAt+i])
	}
	pkt.first = b[0]
	pn = expandPN(largest, pn, n)
	head, body := b[:pkt.pnAt+n], b[pkt.pnAt+n:]
	if k1 != nil {
		k = k1
	}
	payload, err = k.aead.Open(nil, k.nonce(pn), body, head)
	return payload, pn, err
}

// expandPN completes a truncated packet number (RFC 9000 appendix A.3).
func expandPN(expected, truncated uint64, n int) uint64 {
	win := uint64(1) << (8 * n)
	pn := expected&^(win-1) | truncated
	switch {
	case pn+win/2 <= expected && pn+win < 1<<62:
		return pn + win
	case pn > expected+win/2 && pn >= win:
		return pn - win
	}
	return pn
}
