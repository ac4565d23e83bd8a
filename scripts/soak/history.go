package main

import (
	"fmt"
	"strings"
	"time"
)

// historySize is how many events of a client are kept.
const historySize = 160

// event is something that happened to a client, or a packet that it has sent or received.
type event struct {
	at   time.Duration // since the start
	what string
	slot int
	id   uint16
	m    message
}

// history is the last events of one client. It is guarded by its owner.
type history struct {
	began time.Time
	ring  [historySize]event
	next  int
}

func (h *history) add(e event) {
	e.at = time.Since(h.began)
	h.ring[h.next%historySize] = e
	h.next++
}

// text is the history, oldest event first.
func (h *history) text(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  history of %s:\n", name)
	for i := max(0, h.next-historySize); i < h.next; i++ {
		e := &h.ring[i%historySize]
		fmt.Fprintf(&b, "    %10.4f s  %s", e.at.Seconds(), e.what)
		if e.id != 0 || e.m.number != 0 {
			fmt.Fprintf(&b, " on stream slot %d, id %d", e.slot, e.id)
		}
		if e.m.number != 0 {
			fmt.Fprintf(&b, ": %s", e.m)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
