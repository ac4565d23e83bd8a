package main

import (
	"encoding/binary"
	"errors"
	"io"
)

// Control packet types, MQTT 3.1.1 section 2.2.1. The generator and null-quic speak this
// version with code of their own, so that nothing of ngmq works for or against a peer.
const (
	typeConnect    = 1
	typeConnack    = 2
	typePublish    = 3
	typePuback     = 4
	typeSubscribe  = 8
	typeSuback     = 9
	typePingreq    = 12
	typePingresp   = 13
	typeDisconnect = 14
)

var (
	pingreq       = []byte{typePingreq << 4, 0}
	errPacket     = errors.New("not an MQTT packet")
	errPacketSize = errors.New("an MQTT packet is too large")
)

const (
	firstBuffer = 512       // bytes; an idle connection keeps this
	mostBuffer  = 256 << 10 // bytes; the largest packet
)

func appendRemaining(dst []byte, n int) []byte {
	for ; n >= 128; n >>= 7 {
		dst = append(dst, byte(n)|128)
	}
	return append(dst, byte(n))
}

func appendString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// appendConnect is a CONNECT with Clean Session and no Keep Alive.
func appendConnect(dst []byte, id string) []byte {
	dst = appendRemaining(append(dst, typeConnect<<4), 12+len(id))
	dst = append(appendString(dst, "MQTT"), 4, 2, 0, 0)
	return appendString(dst, id)
}

func appendSubscribe(dst []byte, id uint16, topic string, qos byte) []byte {
	dst = appendRemaining(append(dst, typeSubscribe<<4|2), 5+len(topic))
	dst = binary.BigEndian.AppendUint16(dst, id)
	return append(appendString(dst, topic), qos)
}

func appendPublish(dst []byte, topic string, qos byte, id uint16, payload []byte) []byte {
	size := 2 + len(topic) + len(payload)
	if qos > 0 {
		size += 2
	}
	dst = appendString(appendRemaining(append(dst, typePublish<<4|qos<<1), size), topic)
	if qos > 0 {
		dst = binary.BigEndian.AppendUint16(dst, id)
	}
	return append(dst, payload...)
}

func appendPuback(dst []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, typePuback<<4, 2), id)
}

// frame is one packet; its slices point into the reader's buffer.
type frame struct {
	whole, body []byte
}

func (f frame) kind() byte { return f.whole[0] >> 4 }
func (f frame) qos() byte  { return f.whole[0] >> 1 & 3 }

// text cuts a length-prefixed string off b.
func text(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if n > len(b) {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}

// published takes a PUBLISH apart; id is 0 at QoS 0.
func (f frame) published() (topic []byte, id uint16, payload []byte, ok bool) {
	topic, payload, ok = text(f.body)
	if !ok || f.qos() == 0 {
		return topic, 0, payload, ok
	}
	if len(payload) < 2 {
		return nil, 0, nil, false
	}
	return topic, binary.BigEndian.Uint16(payload), payload[2:], true
}

// frames cuts a byte stream into packets. Its buffer grows with what comes in one piece.
type frames struct {
	r        io.Reader
	buf      []byte
	from, to int // what of buf has been read and not yet been given out
}

// fill reads once. What next gave before is not valid any more.
func (f *frames) fill() error {
	if f.from > 0 {
		f.to = copy(f.buf, f.buf[f.from:f.to])
		f.from = 0
	}
	if f.to == len(f.buf) {
		if f.to >= mostBuffer {
			return errPacketSize
		}
		f.buf = append(f.buf, make([]byte, max(firstBuffer, len(f.buf)))...)
	}
	n, err := f.r.Read(f.buf[f.to:])
	f.to += n
	if n > 0 {
		return nil
	}
	return err
}

// next gives a packet that has been read as a whole; without one whole is nil.
func (f *frames) next() (frame, error) {
	b := f.buf[f.from:f.to]
	size, shift := 0, 0
	for i := 1; i < len(b); i++ {
		size |= int(b[i]&127) << shift
		shift += 7
		switch end := i + 1 + size; {
		case b[i] >= 128 && i == 4:
			return frame{}, errPacket
		case b[i] >= 128:
		case end > len(b):
			return frame{}, nil
		default:
			f.from += end
			return frame{whole: b[:end], body: b[i+1 : end]}, nil
		}
	}
	return frame{}, nil
}
