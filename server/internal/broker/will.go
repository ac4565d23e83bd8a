package broker

import (
	"math"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// will is a will message that waits for its cause.
type will struct {
	m      *Message
	info   *ClientInfo
	delay  uint32 // Will Delay Interval in seconds
	expiry uint32 // Message Expiry Interval in seconds, counted from publication; 0 with expires unset
	// expires tells that there is a Message Expiry Interval.
	expires bool
}

// newWill copies the will of a CONNECT.
func newWill(info *ClientInfo, w *packet.Will) *will {
	m := newMessage(w.Topic, w.Properties, w.Payload)
	m.qos, m.retain, m.from = w.QoS, w.Retain, info.ID
	n := &will{m: m, info: info}
	n.delay, _ = w.Properties.Uint(packet.WillDelayInterval)
	n.expiry, n.expires = w.Properties.Uint(packet.MessageExpiryInterval)
	return n
}

// capDelay shortens the delay to most; 0: any is granted. Publishing earlier than asked
// for is what the end of the session does too [MQTT-3.1.3-9].
func (w *will) capDelay(most time.Duration) {
	if most > 0 {
		w.delay = min(w.delay, uint32(min(most/time.Second, math.MaxUint32)))
	}
}

// discard gives the message back; the will is never published.
func (w *will) discard() {
	if w != nil {
		w.m.Release()
	}
}

// publishWill publishes a will that is due; nil does nothing. No lock may be held. It
// is called once per will, by who took it out of its session [MQTT-3.1.2-10]. A panic is
// not that goroutine's: the will may be that of another client.
func (b *Broker) publishWill(w *will) {
	if w != nil {
		_ = b.Protect("will", func() error { b.sendWill(w); return nil })
	}
}

func (b *Broker) sendWill(w *will) {
	w.m.arrived = b.now()
	if w.expires {
		w.m.expires = w.m.arrived + int64(w.expiry)*int64(time.Second)
	}
	m, err := b.inspect(w.info, controlID, w.m)
	if err != nil {
		b.count.dropped[DropHandler].Add(1)
		return
	}
	b.count.wills.Add(1)
	b.route(m)
	m.Release()
}
