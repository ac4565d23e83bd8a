package broker

import (
	"errors"
	"slices"
	"strings"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// granted is what is left to do for a filter after the SUBACK.
type granted struct {
	filter   string
	sub      *subscription
	retained bool   // retained messages are to be sent
	before   uint64 // those that were stored before
	replies  []Publication
}

// maxSubscribeLevels is how many levels the filters of one SUBSCRIBE may have together;
// the filters after that get 0x97 (Quota exceeded). A level takes up to 300 ns, during
// which the clients of the same worker wait. 20,000 filters of six levels fit.
const maxSubscribeLevels = 128 << 10

// onSubscribe handles every filter as if it had come alone [MQTT-3.8.4-5]; the SUBACK
// has a code for each [MQTT-3.8.4-6]. Replies of handlers are queued after it; retained
// messages by Flush, in parts.
func (c *Client) onSubscribe(p *packet.Subscribe) error {
	codes := make([]packet.ReasonCode, len(p.Subscriptions))
	var grants []granted
	var problem packet.Properties // of the first filter that has one
	id, hasID := p.Properties.Uint(packet.SubscriptionIdentifier)
	var ids []byte
	if hasID {
		ids = packet.AppendVarint(nil, packet.SubscriptionIdentifier, id)
	}
	levels := 0
	for i := range p.Subscriptions {
		if levels >= maxSubscribeLevels {
			codes[i] = packet.QuotaExceeded
			continue
		}
		levels += topic.Levels(p.Subscriptions[i].Filter)
		g, err := c.subscribe(&p.Subscriptions[i], ids)
		if errors.Is(err, errTakenOver) {
			return err
		}
		codes[i] = answerCode(err, packet.SUBACK)
		if problem == nil {
			problem = c.problem(err, packet.SUBACK)
		}
		if err == nil {
			codes[i] = packet.ReasonCode(g.sub.qos)
			grants = append(grants, g)
		}
	}
	before, behind := c.faultyBytes(p)
	c.sendBytes(before)
	if err := c.reply(&packet.Suback{PacketID: p.PacketID, ReasonCodes: codes, Properties: problem}); err != nil {
		return err
	}
	c.sendBytes(behind)
	for i := range grants {
		c.welcome(&grants[i])
	}
	c.retireFlows()
	return nil
}

// subscribe makes one subscription, or replaces the one with the same filter
// [MQTT-3.8.4-3].
func (c *Client) subscribe(o *packet.Subscription, ids []byte) (g granted, err error) {
	if err := c.b.checkFilter(o.Filter); err != nil {
		return g, err
	}
	if err := c.admitSubscription(); err != nil {
		return g, err
	}
	if err := c.maySubscribe(o.Filter); err != nil {
		return g, err
	}
	to, err := c.current.subscribing()
	if err != nil {
		return g, err
	}
	share, filter, _ := topic.ParseShare(o.Filter)
	ev := SubscribeEvent{Client: c.info, Filter: filter, Share: share, QoS: o.QoS}
	if err := c.b.callSubscribe(&ev); err != nil {
		return g, err
	}
	home := c.current
	if st := c.home(o.Filter); st != nil {
		home, to = st, st.out
	}
	sub := &subscription{to: to, ids: ids, qos: min(ev.QoS, o.QoS), noLocal: o.NoLocal, rap: o.RetainAsPublished}
	replaced, err := to.subscribe(c, o.Filter, sub)
	if err != nil {
		return g, err
	}
	c.b.count.subscribes.Add(1)
	home.highest = max(home.highest, int8(sub.qos)+1)
	return granted{
		filter: o.Filter, sub: sub, replies: ev.reply, before: c.b.retains.Load(),
		retained: share == "" && (o.RetainHandling == 0 || o.RetainHandling == 1 && !replaced), // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
	}, nil
}

// checkFilter refuses filters that are invalid or too large.
func (b *Broker) checkFilter(filter string) error {
	if err := topic.ValidateFilter(filter); err != nil {
		return &Error{Code: packet.TopicFilterInvalid, Reason: err.Error()}
	}
	if len(filter) > b.cfg.MaxTopicLength || topic.Levels(filter) > b.cfg.MaxTopicLevels {
		return &Error{Code: packet.TopicFilterInvalid, Reason: "filter is too long or has too many levels"}
	}
	return nil
}

// subscribe adds a subscription to the session and the tree, while c has the session.
// again tells that there was one with the same filter; the tree changes in one step,
// no message is lost [MQTT-3.8.4-4].
func (o *outlet) subscribe(c *Client, filter string, sub *subscription) (again bool, err error) {
	s := o.s
	s.subMu.Lock()
	defer s.subMu.Unlock()
	if s.tooMany(filter) {
		s.sweep()
	}
	s.mu.Lock() // no takeover before it is done
	defer s.mu.Unlock()
	if s.client != c {
		return false, errTakenOver
	}
	old := o.predecessor(filter)
	if old == nil && s.tooMany(filter) {
		return false, &Error{Code: packet.QuotaExceeded, Reason: "too many subscriptions"}
	}
	o.put(filter, sub, old)
	if strings.HasPrefix(filter, "$share/") {
		s.b.shares.join(filter, sub, old)
	} else {
		s.b.subs.Insert(filter, sub.key, sub)
	}
	if old == nil {
		s.filters++
		s.cost += filterCost(filter)
		s.b.count.subscriptions.Add(1)
	}
	return old != nil, nil
}

// predecessor is the subscription that one with the same filter on o replaces, nil when
// there is none: that of o itself, or the orphan of an earlier connection's data stream,
// which moves. One of another stream stays beside it, unless Config says
// otherwise. s.subMu is held.
func (o *outlet) predecessor(filter string) *subscription {
	s := o.s
	if old := o.subs[filter]; old != nil {
		return old
	}
	single := s.b.cfg.SingleSubscription
	if old := s.subs[filter]; old != nil && (old.orphan || single) {
		return old
	}
	if single {
		for _, x := range s.streams {
			if old := x.subs[filter]; old != nil {
				return old
			}
		}
	}
	return nil
}

// put notes sub, in place of old if that is not nil. s.subMu is held.
func (o *outlet) put(filter string, sub, old *subscription) {
	sub.key = o
	if old != nil {
		sub.key = old.key
		if old.to != o {
			delete(old.to.subs, filter)
			old.to.retained.Load().forget(filter)
		}
	}
	if o.subs == nil {
		o.subs = make(map[string]*subscription)
	}
	o.subs[filter] = sub
}

// meanFilterCost is what filters may cost on the average when a session has
// MaxSubscriptions of them.
const meanFilterCost = 4 << 10

// filterCost is about the memory that a subscription takes, in bytes: the filter
// twice, in the session and in the tree, and the nodes of the tree.
func filterCost(filter string) int { return 2*len(filter) + nodeSize*topic.Levels(filter) }

// tooMany reports whether there is no room for one more filter. One is always taken.
// s.subMu is held.
func (s *Session) tooMany(filter string) bool {
	most := s.b.cfg.MaxSubscriptions
	return s.filters >= most || s.filters > 0 && s.cost+filterCost(filter) > most*meanFilterCost
}

// welcome sends what a new subscription gets at once: retained messages, replies of
// the handler.
func (c *Client) welcome(g *granted) {
	if g.retained {
		g.sub.to.wantRetained(g.filter, g.before)
	}
	for i := range g.replies {
		m, err := c.b.newPublication(&g.replies[i])
		if err != nil {
			c.b.logInvalidReply(g.filter, err)
			continue
		}
		g.sub.to.deliver(&delivery{m: m, ids: g.sub.ids, qos: min(m.qos, g.sub.qos), retain: m.retain})
		m.Release()
	}
}

// onUnsubscribe removes filters that are equal to the ones given [MQTT-3.10.4-1], on the
// control stream those of all streams, on a data stream its own. The
// UNSUBACK has a code for each [MQTT-3.11.3-1]. Messages that have been queued are
// still sent [MQTT-3.10.4-3].
func (c *Client) onUnsubscribe(p *packet.Unsubscribe) error {
	codes := make([]packet.ReasonCode, len(p.Filters))
	for i, filter := range p.Filters {
		found, err := c.session.unsubscribe(c, c.current, filter)
		switch {
		case err != nil:
			return err
		case found:
			c.b.count.unsubscribes.Add(1)
		default:
			codes[i] = packet.NoSubscriptionExisted
		}
	}
	c.retireFlows()
	return c.reply(&packet.Unsuback{PacketID: p.PacketID, ReasonCodes: codes})
}

// unsubscribe removes what a stream may remove, while c has the session.
func (s *Session) unsubscribe(c *Client, st *Stream, filter string) (found bool, err error) {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	s.mu.Lock() // no takeover before it is done
	defer s.mu.Unlock()
	if s.client != c {
		return false, errTakenOver
	}
	if !st.isControl() {
		return st.out != nil && s.remove(filter, st.out.subs[filter]), nil
	}
	found = s.remove(filter, s.subs[filter])
	for _, o := range s.streams {
		found = s.remove(filter, o.subs[filter]) || found
	}
	return found, nil
}

// remove ends a subscription, which may be nil. s.subMu and s.mu are held.
func (s *Session) remove(filter string, sub *subscription) bool {
	if sub == nil {
		return false
	}
	if sub.member != nil {
		s.forgetMember(sub.member)
	}
	delete(sub.to.subs, filter)
	sub.to.retained.Load().forget(filter)
	s.filters--
	s.cost -= filterCost(filter)
	s.b.withdraw(filter, sub)
	s.b.count.subscriptions.Add(-1)
	return true
}

// withdraw takes a subscription of a session out of the tree or out of its group.
func (b *Broker) withdraw(filter string, sub *subscription) {
	if sub.member != nil {
		b.count.shared.Add(-1)
		b.shares.leave(filter, sub.member)
	} else {
		b.subs.Remove(filter, sub.key)
	}
}

// lazySubscriptions is the number of subscriptions from which a session that ends gets
// rid of them in the background: the worker that has its connection serves others too,
// and 100,000 take a tenth of a second.
const lazySubscriptions = 1000

// unsubscribeAll removes every subscription for good: the session has ended, no client
// has it any more.
func (s *Session) unsubscribeAll() {
	lists, n := s.takeSubscriptions()
	withdraw := func() error {
		for _, subs := range lists {
			s.b.withdrawAll(subs)
		}
		return nil
	}
	if n < lazySubscriptions {
		_ = withdraw()
		return
	}
	s.b.later("end of a session", withdraw)
}

// takeSubscriptions takes the subscriptions of all streams, n in number.
func (s *Session) takeSubscriptions() (lists []map[string]*subscription, n int) {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	for _, o := range append(slices.Clone(s.streams), &s.outlet) {
		lists = append(lists, o.subs)
		n += len(o.subs)
		o.subs = nil
		o.retained.Swap(nil).stop()
	}
	s.filters = 0
	s.forgetClosed()
	return lists, n
}

// withdrawAll is withdraw for the subscriptions of a session that has ended.
func (b *Broker) withdrawAll(subs map[string]*subscription) {
	for filter, sub := range subs {
		b.withdraw(filter, sub)
	}
	b.count.subscriptions.Add(-int64(len(subs)))
}
