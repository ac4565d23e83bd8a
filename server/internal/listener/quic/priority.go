//go:build !noquic

package quic

import "github.com/ngmq/ngmq/ngtcp2"

// Urgencies of streams (endpoint.Stream.SetUrgency): those of a lower number are sent first.
const (
	controlUrgency = ngtcp2.DefaultUrgency
	// dataUrgency is that of data streams, with Config.QoSPriority of those that have no
	// subscription or one with QoS 2; then follow QoS 1 and 0.
	dataUrgency = controlUrgency + 1
)

// place puts a data stream where the QoS of its subscriptions belongs.
func (d *dataStream) place() {
	qos := d.stream.QoS()
	if qos == d.qos || d.gone {
		return
	}
	d.qos = qos
	_ = d.s.SetUrgency(uint8(dataUrgency + 2 - qos)) // ErrClosed: then it does not matter
}
