package broker

// Limits of the work for retained messages. Searching a large store for one filter
// takes milliseconds, for all filters of a SUBSCRIBE it may take a minute: it is done
// in parts, between which the owner serves its other clients.
const (
	// retainedVisits is how many topics of the store one Flush looks at: about
	// 100 µs.
	retainedVisits = 2048
	// retainedBatch is how many of them, before the queue is looked at again.
	retainedBatch = 64
)

// retainedWork is what a session still has to get from the retained store. It outlives
// the connection that has subscribed. Guarded by Session.subMu.
type retainedWork struct {
	waiting map[string]uint64 // filters, with Broker.retains when they were subscribed
	walk    RetainedWalk      // for filter; nil = between two filters
	filter  string
	before  uint64        // what was stored later has been delivered as it came
	next    *retainedWork // to be done afterwards: of a stream that was there before
}

// wantRetained notes that the retained messages of a subscription are to be sent: once,
// however often the filter is subscribed until then.
func (o *outlet) wantRetained(filter string, before uint64) {
	o.s.subMu.Lock()
	defer o.s.subMu.Unlock()
	if o.subs[filter] == nil { // the session has ended, or its new client does not want it
		return
	}
	k := o.retained.Load()
	if k == nil {
		k = &retainedWork{waiting: make(map[string]uint64)}
		o.retained.Store(k)
	}
	k.waiting[filter] = before
}

// sendRetained queues retained messages while there is room for them, and looks at no
// more than *visits topics, of which it takes what it has used.
func (o *outlet) sendRetained(c *Client, visits *int) {
	for *visits > 0 && o.retained.Load() != nil && o.hasRoom(c) {
		limit := min(*visits, retainedBatch)
		part := o.walkRetained(limit)
		*visits -= limit - part.left
		for _, m := range part.found {
			part.deliver(m)
			m.Release()
		}
	}
}

// hasRoom reports whether c may get retained messages now.
func (o *outlet) hasRoom(c *Client) bool {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	return o.s.client == c && o.roomy()
}

// retainedPart is what was found in one step, for one subscription.
type retainedPart struct {
	found  []*Message // with references
	left   int        // topics not looked at, of those allowed
	sub    *subscription
	before uint64
}

// walkRetained does one step, which looks at no more than limit topics. A filter
// counts as one too.
func (o *outlet) walkRetained(limit int) (p retainedPart) {
	o.s.subMu.Lock()
	defer o.s.subMu.Unlock()
	k := o.retained.Load()
	if k == nil {
		p.left = limit
		return p
	}
	if k.walk == nil && !k.begin(o.s.b.cfg.Retained) {
		o.retained.Store(k.next)
		p.left = limit - 1
		return p
	}
	p.sub, p.before = o.subs[k.filter], k.before
	var more bool
	if p.found, p.left, more = k.walk.Next(limit); !more {
		k.endWalk()
		p.left = max(p.left-1, 0)
	}
	return p
}

// deliver queues m, unless the subscriber has got it as it came or must not get it.
func (p *retainedPart) deliver(m *Message) {
	s := p.sub.to.s
	late := m.number > p.before
	expired := m.expires != 0 && m.expires <= s.b.now()
	own := p.sub.noLocal && m.from == s.id
	if !late && !expired && !own {
		p.sub.to.deliver(&delivery{m: m, ids: p.sub.ids, qos: min(m.qos, p.sub.qos), retain: true, stored: true})
	}
}

// begin begins with one of the filters that wait.
func (k *retainedWork) begin(store RetainedStore) bool {
	for filter, before := range k.waiting {
		delete(k.waiting, filter)
		k.walk, k.filter, k.before = store.Match(filter), filter, before
		return true
	}
	return false
}

// forget gives up what is to be sent for a filter.
func (k *retainedWork) forget(filter string) {
	for ; k != nil; k = k.next {
		delete(k.waiting, filter)
		if k.filter == filter {
			k.endWalk()
		}
	}
}

// chain has other work done afterwards, and forgets what is done.
func (k *retainedWork) chain(other *retainedWork) {
	last := k
	for last.next != nil {
		last = last.next
	}
	last.next = other
	for k.next != nil {
		if k.next.walk == nil && len(k.next.waiting) == 0 {
			k.next = k.next.next
		} else {
			k = k.next
		}
	}
}

// stop ends all walks.
func (k *retainedWork) stop() {
	for ; k != nil; k = k.next {
		k.endWalk()
	}
}

func (k *retainedWork) endWalk() {
	if k.walk != nil {
		k.walk.Stop()
		k.walk, k.filter = nil, ""
	}
}
