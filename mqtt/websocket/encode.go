package websocket

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// HeadRoom is the size in bytes of the largest header of a frame from a server.
const HeadRoom = 10

// maxControl is the largest payload of a control frame (RFC 6455 section 5.5).
const maxControl = 125

// PutHeader writes the header of an unmasked binary frame with size bytes of payload at
// the end of room, which has HeadRoom bytes, and gives the length of the header.
func PutHeader(room []byte, size int) int {
	n := ws.HeaderSize(ws.Header{Length: int64(size)})
	appendHeader(room[:len(room)-n], ws.OpBinary, size, 0)
	return n
}

// AppendControl appends an unmasked control frame. Of payload at most 125 bytes go.
func AppendControl(b []byte, op ws.OpCode, payload []byte) []byte {
	payload = payload[:min(len(payload), maxControl)]
	return append(appendHeader(b, op, len(payload), 0), payload...)
}

// AppendClose appends an unmasked Close frame; without code when it is one that must not
// be sent.
func AppendClose(b []byte, code ws.StatusCode, reason string) []byte {
	return AppendControl(b, ws.OpClose, closeBody(code, reason))
}

func closeBody(code ws.StatusCode, reason string) []byte {
	if code == ws.StatusNoStatusRcvd {
		return nil
	}
	reason = reason[:min(len(reason), maxControl-2)]
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// appendMasked appends a frame from a client.
func appendMasked(b []byte, op ws.OpCode, payload []byte) []byte {
	mask := ws.NewMask()
	b = append(appendHeader(b, op, len(payload), 0x80), mask[:]...)
	at := len(b)
	b = append(b, payload...)
	ws.Cipher(b[at:], mask, 0)
	return b
}

// appendHeader appends the header of a whole message; masked is the mask bit.
func appendHeader(b []byte, op ws.OpCode, size int, masked byte) []byte {
	b = append(b, 0x80|byte(op))
	switch {
	case size < 126:
		return append(b, masked|byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, masked|126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, masked|127), uint64(size))
	}
}
