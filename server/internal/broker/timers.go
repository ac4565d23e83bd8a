package broker

import "sync"

// timer calls its owner back at a time. It is part of the struct that it is for, so
// that setting and stopping it costs no memory and a stopped one leaves none.
type timer struct {
	at    int64 // broker time in nanoseconds
	pos   int   // place in the heap plus 1, 0 = not set
	owner timed
}

// timed is what has a timer. onTimer is called by the janitor without any lock; the
// timer is no longer set then. As it may have been set or stopped at the last moment,
// the owner looks at its own state again.
type timed interface {
	onTimer(now int64)
}

// timers is a heap of timers, the earliest first. Its lock is the innermost of all:
// it may be taken under any other.
type timers struct {
	mu   sync.Mutex
	heap []*timer
	wake chan struct{} // the first timer has changed
}

func newTimers() *timers { return &timers{wake: make(chan struct{}, 1)} }

// set makes t fire at a time, in place of the time set before.
func (ts *timers) set(t *timer, owner timed, at int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.at, t.owner = at, owner
	if t.pos == 0 {
		ts.heap = append(ts.heap, t)
		t.pos = len(ts.heap)
	}
	ts.fix(t.pos - 1)
	if t.pos == 1 {
		select {
		case ts.wake <- struct{}{}:
		default:
		}
	}
}

// stop makes t not fire.
func (ts *timers) stop(t *timer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.pos > 0 {
		ts.remove(t.pos - 1)
	}
}

// due removes the first timer whose time has come and gives its owner, nil when there
// is none.
func (ts *timers) due(now int64) timed {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.heap) == 0 || ts.heap[0].at > now {
		return nil
	}
	return ts.remove(0).owner
}

// next is the time of the first timer; ok is false when there is none.
func (ts *timers) next() (at int64, ok bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.heap) == 0 {
		return 0, false
	}
	return ts.heap[0].at, true
}

func (ts *timers) remove(i int) *timer {
	t := ts.heap[i]
	last := len(ts.heap) - 1
	ts.move(i, ts.heap[last])
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	if i < last {
		ts.fix(i)
	}
	t.pos = 0
	return t
}

func (ts *timers) move(i int, t *timer) {
	ts.heap[i] = t
	t.pos = i + 1
}

// fix moves the timer at i to where it belongs.
func (ts *timers) fix(i int) {
	t := ts.heap[i]
	for i > 0 && t.at < ts.heap[(i-1)/2].at {
		ts.move(i, ts.heap[(i-1)/2])
		i = (i - 1) / 2
	}
	for {
		child := 2*i + 1
		if child+1 < len(ts.heap) && ts.heap[child+1].at < ts.heap[child].at {
			child++
		}
		if child >= len(ts.heap) || ts.heap[child].at >= t.at {
			break
		}
		ts.move(i, ts.heap[child])
		i = child
	}
	ts.move(i, t)
}
