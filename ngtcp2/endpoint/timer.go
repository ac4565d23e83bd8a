package endpoint

import "github.com/ngmq/ngmq/ngtcp2"

// timerHeap orders connections by deadline. A deadline that moved later (an
// acknowledgement came: the usual case) is not touched until the old one comes
// up, so most packets cost no heap operation.
type timerHeap struct{ conns []*Conn }

// timerKey is a connection's place in the heap.
type timerKey struct {
	at ngtcp2.Timestamp
	i  int32 // index + 1; 0 = not in the heap
}

// next is the earliest deadline, NoExpiry when there is none. It may be earlier
// than the true one.
func (h *timerHeap) next() ngtcp2.Timestamp {
	if len(h.conns) == 0 {
		return ngtcp2.NoExpiry
	}
	return h.conns[0].timer.at
}

// set makes sure that c comes up at at or before.
func (h *timerHeap) set(c *Conn, at ngtcp2.Timestamp) {
	if c.timer.i == 0 {
		if at == ngtcp2.NoExpiry {
			return
		}
		c.timer.at = at
		h.conns = append(h.conns, c)
		h.up(len(h.conns) - 1)
	} else if at < c.timer.at {
		c.timer.at = at
		h.up(int(c.timer.i - 1))
	}
}

// pop takes out the first connection if its deadline is not after now.
func (h *timerHeap) pop(now ngtcp2.Timestamp) *Conn {
	if h.next() > now {
		return nil
	}
	c := h.conns[0]
	h.remove(c)
	return c
}

// remove takes c out.
func (h *timerHeap) remove(c *Conn) {
	i, last := int(c.timer.i-1), len(h.conns)-1
	if i < 0 {
		return
	}
	h.put(i, h.conns[last])
	h.conns[last] = nil
	h.conns = h.conns[:last]
	c.timer.i = 0
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h *timerHeap) put(i int, c *Conn) {
	h.conns[i] = c
	c.timer.i = int32(i + 1)
}

func (h *timerHeap) up(i int) {
	c := h.conns[i]
	for i > 0 {
		parent := (i - 1) / 4
		if h.conns[parent].timer.at <= c.timer.at {
			break
		}
		h.put(i, h.conns[parent])
		i = parent
	}
	h.put(i, c)
}

func (h *timerHeap) down(i int) {
	c := h.conns[i]
	for {
		least, first := i, 4*i+1
		at := c.timer.at
		for k := first; k < min(first+4, len(h.conns)); k++ {
			if h.conns[k].timer.at < at {
				least, at = k, h.conns[k].timer.at
			}
		}
		if least == i {
			break
		}
		h.put(i, h.conns[least])
		i = least
	}
	h.put(i, c)
}
