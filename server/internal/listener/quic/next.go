//go:build !noquic

package quic

import (
	"errors"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// errControlHeader is what is wrong with a control stream that does not begin as MQTT-next
// has it.
var errControlHeader = &broker.Error{Code: packet.MalformedPacket, Reason: "the flow header of the control stream is none of a control flow"}

// nextConn is what a connection has that has negotiated MQTT-next.
type nextConn struct {
	begun bool   // the beginning of the control stream has been looked at
	head  []byte // until then

	serverFlows uint64 // that have been opened
}

// next is nil for a connection that has not negotiated MQTT-next.
func (l *Listener) next(qc *endpoint.Conn) *nextConn {
	if l.cfg.Next && qc.TLS().ALPN == NextALPN {
		return new(nextConn)
	}
	return nil
}

// begin takes the flow header of the control stream away, which is optional, and gives what
// follows. ok is false for a header that is none of a control flow.
func (n *nextConn) begin(data []byte) (rest []byte, ok bool) {
	if n == nil || n.begun || len(data) == 0 {
		return data, true
	}
	n.head = append(n.head, data...)
	rest = n.head
	if isFlowType(rest[0]) {
		h, size := parseFlowHeader(rest)
		if rest[0] != controlFlow || size > 0 && (h.id != 0 || h.flags.has(flowOptional)) {
			return nil, false
		}
		if size == 0 {
			return nil, true
		}
		rest = rest[size:]
	}
	n.begun, n.head = true, nil
	return rest, true
}

// dataFlow is what a data stream has besides under MQTT-next.
type dataFlow struct {
	begun  bool // its first byte, then its header, have been looked at
	header flowHeader
}

// begin takes the flow header of the stream away and gives what follows. A stream without
// one is a data stream as under the ALPN "mqtt".
func (d *dataStream) begin(data []byte) (rest []byte) {
	f := d.flow
	if f.begun {
		return data
	}
	d.head = append(d.head, data...)
	rest = d.head
	if isFlowType(rest[0]) {
		h, size := parseFlowHeader(rest)
		if code := flowType(rest[0]); code != FlowNoError {
			d.refuse(code)
			return nil
		}
		if size == 0 {
			return nil
		}
		if rest = rest[size:]; !d.join(h) {
			return nil
		}
	}
	f.begun, d.head = true, nil
	return rest
}

// flowType is the code with which the server refuses a flow of a client for its type.
func flowType(kind byte) uint64 {
	switch kind {
	case clientDataFlow:
		return FlowNoError
	case serverDataFlow:
		return FlowNotOwner
	case userFlow:
		return FlowRefused
	}
	return FlowStreamType
}

// join makes the stream that of the flow of its header, if that can be.
func (d *dataStream) join(h flowHeader) bool {
	if code := h.refusal(); code != FlowNoError {
		d.refuse(code)
		return false
	}
	if old := d.c.flow(h.id); old != nil && d.s.Bidi() {
		old.close(FlowPacketCancelled)
	}
	switch err := d.stream.Join(h.flow()); {
	case errors.Is(err, broker.ErrNoFlow):
		d.refuse(FlowNoState)
		return false
	case err != nil:
		d.refuse(FlowRefused)
		return false
	}
	d.flow.header = h
	d.c.qc.MarkDirty()
	return true
}

// maxFlowExpiry is the longest time that flows are told apart by: 136 years.
const maxFlowExpiry = 1 << 32 // s

// flow is what the broker has to know.
func (h *flowHeader) flow() broker.Flow {
	return broker.Flow{
		ID: h.id, Clean: h.flags.has(flowClean), NeedsState: h.flags.has(flowAbort),
		KeepQoS: h.flags.has(flowQoS), KeepSubscriptions: h.flags.has(flowSubscriptions),
		Expiry: time.Duration(min(h.expiry, maxFlowExpiry)) * time.Second,
	}
}

// leave closes the stream because the client has ended it with a code.
func (d *dataStream) leave(code uint64) {
	if d.flow != nil && d.stream != nil && !d.gone && FlowCodes[code].Discards {
		d.stream.Discard()
	}
	if d.isServerFlow() && code == FlowServerPushNotWelcome {
		d.c.client.UseFlows(nil)
	}
	d.close(CodeNormal)
}

// flow is the bidirectional stream of an open flow, nil when there is none.
func (c *conn) flow(id uint64) *dataStream {
	for _, d := range c.data {
		if !d.gone && d.flow != nil && d.flow.header.id == id && d.s.Bidi() {
			return d
		}
	}
	return nil
}

// refuse resets a stream with whose header something is wrong.
func (d *dataStream) refuse(code uint64) {
	_ = d.stream.Malformed("the flow is refused: " + FlowCodes[code].Name) // has it logged and counted
	d.close(code)
}

// failFlow does what an error of the flow costs.
func (d *dataStream) failFlow(e *broker.StreamError) {
	if d.c.over { // that costs nothing more
		return
	}
	switch d.flow.header.flags.tolerance() {
	case tolerateNone:
		err := d.c.client.Fail(&broker.Error{Code: e.Code, Reason: e.Reason})
		d.c.end(NextProtocolError, err)
	case tolerateStream:
		d.stream.Discard()
		d.close(FlowCancelled)
	default:
		d.close(FlowPacketCancelled)
	}
}
