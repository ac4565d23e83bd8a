package broker

import (
	"cmp"
	"slices"
)

// maxPacketIDs is the number of packet identifiers, 1 to 65535.
const maxPacketIDs = 65535

// flight is a QoS 1 or QoS 2 message towards the client that is not finished. It is as large
// as a line of the cache.
type flight struct {
	delivery
	id      uint16 // packet identifier, 0 = the slot is free
	state   flightState
	charged bool   // uses up Receive Maximum on this connection
	stream  uint32 // number of the data stream on which it was sent, 0 = the control stream
	order   uint64 // of its first transmission
}

type flightState uint8

const (
	flightSent     flightState = iota // PUBLISH needs PUBACK or PUBREC
	flightReleased                    // PUBREL needs PUBCOMP; the message is gone [MQTT-4.3.3-6]
)

// inflight holds the messages towards the client that are not finished. A packet
// identifier tells the slot: its low bits are the index. The next identifier whose slot
// is free is given out, so a message that is never acknowledged keeps nothing but its
// own. Identifiers belong to the session: none is used twice at a time, on whatever
// connection [MQTT-2.2.1-4]. The zero value is empty.
type inflight struct {
	slots  []flight // its length is 0 or a power of two, at most 65,536
	last   uint16   // packet identifier given out last, 0 = none yet
	order  uint64   // messages added so far
	open   int      // slots that are taken
	bytes  int      // sum of the sizes of the messages that are held
	resend []uint16 // what this connection has not seen yet, in order; may be finished meanwhile
}

func (w *inflight) slot(id uint16) *flight { return &w.slots[int(id)&(len(w.slots)-1)] }

// rewind begins a new connection: everything has to be sent again, in the order of the
// first transmission [MQTT-4.6.0-1].
func (w *inflight) rewind() {
	w.resend = nil
	if w.open == 0 {
		return
	}
	w.resend = make([]uint16, 0, w.open)
	for i := range w.slots {
		if f := &w.slots[i]; f.id != 0 {
			f.charged = false
			w.resend = append(w.resend, f.id)
		}
	}
	w.sort(w.resend)
}

// rehome makes the messages in flight on a data stream those of the control stream, to be
// sent again there.
func (w *inflight) rehome(stream uint32) {
	first := len(w.resend)
	for i := range w.slots {
		if f := &w.slots[i]; f.id != 0 && f.stream == stream {
			f.stream = 0
			w.resend = append(w.resend, f.id)
		}
	}
	w.sort(w.resend[first:])
}

func (w *inflight) sort(ids []uint16) {
	slices.SortFunc(ids, func(a, b uint16) int { return cmp.Compare(w.slot(a).order, w.slot(b).order) })
}

// full reports that every packet identifier is taken.
func (w *inflight) full() bool { return w.open == maxPacketIDs }

// add appends a delivery that is sent now on the control stream. The window must not be full.
func (w *inflight) add(d delivery) *flight {
	if 4*w.open >= 3*len(w.slots) && len(w.slots) <= maxPacketIDs {
		w.grow()
	}
	for w.last++; w.last == 0 || w.slot(w.last).id != 0; {
		w.last++
	}
	w.open++
	w.order++
	w.bytes += d.m.Size()
	f := w.slot(w.last)
	*f = flight{d, w.last, flightSent, true, 0, w.order}
	return f
}

// grow doubles the slots. Identifiers that differ in their low bits still do.
func (w *inflight) grow() {
	old := w.slots
	w.slots = make([]flight, max(minQueue, 2*len(old)))
	for i := range old {
		if f := &old[i]; f.id != 0 {
			*w.slot(f.id) = *f
		}
	}
}

// find gives the entry of a packet identifier, nil when there is none or it is done.
func (w *inflight) find(id uint16) *flight {
	if id == 0 || w.open == 0 {
		return nil
	}
	if f := w.slot(id); f.id == id {
		return f
	}
	return nil
}

// finish ends an entry and gives its message, nil when that is gone already. The
// reference goes to the caller.
func (w *inflight) finish(f *flight) *Message {
	m := w.letGo(f)
	*f = flight{}
	w.open--
	if w.open == 0 && len(w.slots) > keepQueue {
		w.slots = nil
	}
	return m
}

// release drops the message of an entry whose PUBREC has come and gives it, with its
// reference; nil when it had come before.
func (w *inflight) release(f *flight) *Message {
	m := w.letGo(f)
	f.ids, f.state = nil, flightReleased
	return m
}

func (w *inflight) letGo(f *flight) *Message {
	m := f.m
	if m != nil {
		w.bytes -= m.Size()
	}
	f.m = nil
	return m
}
