package broker

// maxPacketIDs is the number of packet identifiers, 1 to 65535.
const maxPacketIDs = 65535

// flight is a QoS 1 or QoS 2 message towards the client that is not finished.
type flight struct {
	delivery
	state   flightState
	charged bool // uses up Receive Maximum on this connection
}

type flightState uint8

const (
	flightDone     flightState = iota // finished; waits for older ones to leave the window
	flightSent                        // PUBLISH needs PUBACK or PUBREC
	flightReleased                    // PUBREL needs PUBCOMP; the message is gone [MQTT-4.3.3-6]
)

// inflight is the window of messages towards the client, in the order of their first
// transmission, which is the order for resending too [MQTT-4.6.0-1]. Packet
// identifiers are given out in sequence, so the identifier tells the place in the
// ring. They belong to the session: none is used twice at a time, on whatever
// connection [MQTT-2.2.1-4]. The zero value is empty.
type inflight struct {
	ring  []flight // its length is 0 or a power of two
	head  int
	n     int // entries from the oldest that is not done
	last  int // packet identifier given out last, 0 = none yet
	sent  int // entries that have been (re)sent on this connection
	open  int // entries that are not done
	bytes int // sum of the sizes of the messages that are held
}

func (w *inflight) at(i int) *flight { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// id is the packet identifier of entry i.
func (w *inflight) id(i int) uint16 { return wrapID(w.last - (w.n - 1 - i)) }

// wrapID maps a number above -maxPacketIDs to 1..maxPacketIDs.
func wrapID(n int) uint16 {
	if n < 1 {
		n += maxPacketIDs
	}
	return uint16(n)
}

// rewind begins a new connection: everything has to be sent again.
func (w *inflight) rewind() {
	w.sent = 0
	for i := range w.n {
		w.at(i).charged = false
	}
}

// full reports that every packet identifier is taken or blocked by an old one.
func (w *inflight) full() bool { return w.n == maxPacketIDs }

// add appends a delivery that is sent now and gives its packet identifier. The window
// must not be full, and nothing may be left to be resent.
func (w *inflight) add(d delivery) uint16 {
	if w.n == len(w.ring) {
		w.grow()
	}
	w.n++
	w.open++
	w.sent++
	w.bytes += d.m.Size()
	w.last = w.last%maxPacketIDs + 1
	*w.at(w.n - 1) = flight{d, flightSent, true}
	return uint16(w.last)
}

func (w *inflight) grow() {
	ring := make([]flight, max(minQueue, 2*len(w.ring)))
	for i := range w.n {
		ring[i] = *w.at(i)
	}
	w.ring, w.head = ring, 0
}

// find gives the entry of a packet identifier, nil when there is none or it is done.
func (w *inflight) find(id uint16) *flight {
	if w.n == 0 {
		return nil
	}
	i := int(id) - int(w.id(0))
	if i < 0 {
		i += maxPacketIDs
	}
	if i >= w.n || w.at(i).state == flightDone {
		return nil
	}
	return w.at(i)
}

// finish ends an entry and gives its message, nil when that is gone already. The
// reference goes to the caller.
func (w *inflight) finish(f *flight) *Message {
	m := w.letGo(f)
	*f = flight{}
	w.open--
	for w.n > 0 && w.at(0).state == flightDone {
		w.head++
		w.n--
		w.sent = max(w.sent-1, 0)
	}
	if w.n == 0 && len(w.ring) > keepQueue {
		w.ring, w.head = nil, 0
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
