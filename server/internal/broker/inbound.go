package broker

import "slices"

// orphaned stands for the streams that are gone.
const orphaned int64 = -1

// inbound are the packet identifiers of QoS 2 messages from the client, from the PUBLISH
// to the PUBREL. Each stream has its own while it lives: the same identifier on two
// streams is two messages. Where a stream does not know one, that of another stream is
// meant: a client sends again on a new stream, or on the control stream of its next
// connection, what it began on a stream that is gone. The zero value is empty.
type inbound struct {
	control map[uint16]struct{}
	data    map[uint16][]int64 // the data streams that have it open, or orphaned; each entry is one message
	n       int                // entries in data
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
	return slices.Contains(in.data[id], stream)
}

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
		in.data = make(map[uint16][]int64)
	}
	in.data[id] = append(in.data[id], stream)
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
	list := in.data[id]
	i := slices.Index(list, stream)
	if i < 0 {
		return false
	}
	in.n--
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(in.data, id)
	} else {
		in.data[id] = list
	}
	return true
}

// takeAny removes the message of any stream, of one that is gone first.
func (in *inbound) takeAny(id uint16) bool {
	if in.take(orphaned, id) || in.take(controlID, id) {
		return true
	}
	list := in.data[id]
	return len(list) > 0 && in.take(list[0], id)
}

// orphan notes that a data stream is gone.
func (in *inbound) orphan(stream int64) {
	for _, list := range in.data {
		if i := slices.Index(list, stream); i >= 0 {
			list[i] = orphaned
		}
	}
}

// orphanAll notes that all data streams are gone.
func (in *inbound) orphanAll() {
	for _, list := range in.data {
		for i := range list {
			list[i] = orphaned
		}
	}
}

// evict gives up a message of a stream that is gone, if there is one: a client that has
// lost its own state never sends the PUBREL.
func (in *inbound) evict() bool {
	for id := range in.data {
		if in.take(orphaned, id) {
			return true
		}
	}
	return false
}
