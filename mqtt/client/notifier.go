package client

import "sync"

// notifier calls the application's callbacks one after the other, in the order of what
// happened, on a goroutine that is there while there is something to tell.
type notifier struct {
	mu      sync.Mutex
	calls   []func()
	running bool
}

// tell has f called.
func (n *notifier) tell(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, f)
	if !n.running {
		n.running = true
		go n.run()
	}
}

func (n *notifier) run() {
	for f := n.next(); f != nil; f = n.next() {
		f()
	}
}

func (n *notifier) next() func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.calls) == 0 {
		n.calls, n.running = nil, false
		return nil
	}
	f := n.calls[0]
	n.calls = n.calls[1:]
	return f
}
