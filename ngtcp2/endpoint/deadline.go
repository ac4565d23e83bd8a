package endpoint

import (
	"sync"
	"time"
)

// deadline is one direction's deadline of a net.Conn: a channel that is closed
// while it has passed.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	gone  chan struct{}
}

func newDeadline() deadline { return deadline{gone: make(chan struct{})} }

// set moves the deadline; the zero time means never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.gone // its function has run or is about to
	}
	d.timer = nil
	passed := isClosed(d.gone)
	if t.IsZero() {
		if passed {
			d.gone = make(chan struct{})
		}
		return
	}
	if wait := time.Until(t); wait > 0 {
		if passed {
			d.gone = make(chan struct{})
		}
		gone := d.gone
		d.timer = time.AfterFunc(wait, func() { close(gone) })
		return
	}
	if !passed {
		close(d.gone)
	}
}

// passed is closed while the deadline has passed.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
