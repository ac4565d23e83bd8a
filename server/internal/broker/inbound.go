package broker

import "slices"

// inbound are the packet identifiers of QoS 2 messages from the client, from the PUBLISH
// to the PUBREL. Each stream has its own while it lives: the same identifier on two
// streams is two messages. Where a stream does not know one, that of another stream is
// meant: a client sends again on a new stream, or on the control stream of its next
// connection, what it began on a stream that is gone. The zero value is empty.
type inbound struct {
	control map[uint16]struct{}
	data    map[uint16][]origin // the data streams that have it open, or had; each entry is one message
	n       int                 // entries in data

	// The marks of the data streams that there are. A message whose stream has another mark, or
	// none, is an orphan: so the end of a stream costs the same however many messages it has.
	marks map[int64]uint64
	last  uint64 // mark
}

// origin tells the data streams of all connections apart.
type origin struct {
	stream int64
	mark   uint64
}

// len is the number of messages.
func (in *inbound) len() int { return len(in.control) + in.n }

// known reports whether a message has been accepted on a stream. With dup it may have
// been on another one, and is this one's from now on.
func (in *inbound) known(stream int64, id uint16, dup bool) bool {
	if in.has(stream, id) {
		return true
	}
	if !dup || !in.takeAny(id) {
		return false
	}
	in.add(stream, id)
	return true
}

func (in *inbound) has(stream int64, id uint16) bool {
	if stream == controlID {
		_, ok := in.control[id]
		return ok
	}
	return slices.Contains(in.data[id], in.origin(stream))
}

// origin is that of a stream that there is; without a mark it has no message.
func (in *inbound) origin(stream int64) origin { return origin{stream, in.marks[stream]} }

func (in *inbound) isOrphan(o origin) bool { return in.marks[o.stream] != o.mark }

// add notes a message, which must not be known.
func (in *inbound) add(stream int64, id uint16) {
	if stream == controlID {
		if in.control == nil {
			in.control = make(map[uint16]struct{})
		}
		in.control[id] = struct{}{}
		return
	}
	if in.data == nil {
		in.data = make(map[uint16][]origin)
	}
	if in.marks[stream] == 0 {
		if in.marks == nil {
			in.marks = make(map[int64]uint64)
		}
		in.last++
		in.marks[stream] = in.last
	}
	in.data[id] = append(in.data[id], in.origin(stream))
	in.n++
}

// done ends a message whose PUBREL has come on a stream, and reports whether it was
// known.
func (in *inbound) done(stream int64, id uint16) bool {
	return in.take(stream, id) || in.takeAny(id)
}

// take removes the message of a stream.
func (in *inbound) take(stream int64, id uint16) bool {
	if stream == controlID {
		_, ok := in.control[id]
		delete(in.control, id)
		return ok
	}
	return in.drop(id, slices.Index(in.data[id], in.origin(stream)))
}

// takeOrphan removes a message of a stream that is gone.
func (in *inbound) takeOrphan(id uint16) bool {
	return in.drop(id, slices.IndexFunc(in.data[id], in.isOrphan))
}

// drop removes an entry of data; there is none when i is negative.
func (in *inbound) drop(id uint16, i int) bool {
	if i < 0 {
		return false
	}
	in.n--
	if list := slices.Delete(in.data[id], i, i+1); len(list) == 0 {
		delete(in.data, id)
	} else {
		in.data[id] = list
	}
	return true
}

// takeAny removes the message of any stream, of one that is gone first.
func (in *inbound) takeAny(id uint16) bool {
	if in.takeOrphan(id) || in.take(controlID, id) {
		return true
	}
	return len(in.data[id]) > 0 && in.drop(id, 0)
}

// orphan notes that a data stream is gone.
func (in *inbound) orphan(stream int64) { delete(in.marks, stream) }

// orphanAll notes that all data streams are gone.
func (in *inbound) orphanAll() { in.marks = nil }

// evict gives up a message of a stream that is gone, if there is one: a client that has
// lost its own state never sends the PUBREL.
func (in *inbound) evict() bool {
	for id := range in.data {
		if in.takeOrphan(id) {
			return true
		}
	}
	return false
}
