package broker

import (
	"sync"

	"github.com/ngmq/ngmq/mqtt/topic"
)

// maxShareTries is how many members of a group are asked to take a message whose
// queues are full, before it is given up: it bounds what a message costs.
const maxShareTries = 8

// shares are the groups of the shared subscriptions (MQTT 5.0 section 4.8.2). A group
// is there as long as it has a member.
type shares struct {
	mu     sync.Mutex
	groups map[string]*shareGroup          // by whole filter, "$share/group/filter"
	tree   topic.Tree[string, *shareGroup] // by filter and group
}

// shareGroup is the members of one shared subscription. Each message goes to one of
// them: to those that are connected in turn, and when there is none to the sessions
// that are away in turn, where QoS 1 and QoS 2 messages wait. When the queue of a
// member is full the next one is asked.
//
// A message stays with the session that it was given to, in its queue or in flight,
// until that session ends: then another member gets it, unless it is a QoS 2 message
// whose delivery has begun [MQTT-4.8.2-5].
type shareGroup struct {
	mu      sync.Mutex // innermost
	members []*member  // the first online ones have a client
	online  int
	next    uint
}

// member is a session in a group.
type member struct {
	group *shareGroup
	sub   *subscription // guarded by group.mu
	at    int           // place in group.members, -1 = no longer there; guarded by group.mu
	mine  int           // place in Session.memberships; guarded by Session.mu
}

// join makes sub, with which old has been replaced (nil: none), the subscription of a
// connected session in its group.
func (x *shares) join(filter string, sub, old *subscription) {
	if old != nil {
		sub.member = old.member
		sub.member.replace(sub)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	g := x.groups[filter]
	if g == nil {
		g = new(shareGroup)
		if x.groups == nil {
			x.groups = make(map[string]*shareGroup)
		}
		x.groups[filter] = g
		group, name, _ := topic.ParseShare(filter)
		x.tree.Insert(name, group, g)
	}
	sub.member = &member{group: g, sub: sub}
	g.add(sub.member)
	sub.to.s.b.count.shared.Add(1)
	sub.to.s.joined(sub.member)
}

// leave takes m out of its group for good.
func (x *shares) leave(filter string, m *member) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.group.remove(m) > 0 || x.groups[filter] != m.group {
		return
	}
	delete(x.groups, filter)
	group, name, _ := topic.ParseShare(filter)
	x.tree.Remove(name, group)
}

// replace puts a new subscription of the session in place of the one it had.
func (m *member) replace(sub *subscription) {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	m.sub = sub
}

// setOnline notes that the session of m has got or lost its client.
func (m *member) setOnline(online bool) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case m.at < 0:
	case online && m.at >= g.online:
		g.swap(m.at, g.online)
		g.online++
	case !online && m.at < g.online:
		g.online--
		g.swap(m.at, g.online)
	}
}

// add adds the member of a session that has a client.
func (g *shareGroup) add(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.at = len(g.members)
	g.members = append(g.members, m)
	g.swap(m.at, g.online)
	g.online++
}

// remove takes m out, if it is there, and gives the number of members that are left.
func (g *shareGroup) remove(m *member) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut(m)
	return len(g.members)
}

// cut is remove while g.mu is held.
func (g *shareGroup) cut(m *member) {
	if m.at < 0 {
		return
	}
	if m.at < g.online {
		g.online--
		g.swap(m.at, g.online)
	}
	last := len(g.members) - 1
	g.swap(m.at, last)
	g.members[last] = nil
	g.members = g.members[:last]
	m.at = -1
}

// expel takes the member of sub out, which is about to leave, if it has no other subscription
// meanwhile.
func (g *shareGroup) expel(sub *subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if sub.member.sub == sub {
		g.cut(sub.member)
	}
}

func (g *shareGroup) swap(i, j int) {
	g.members[i], g.members[j] = g.members[j], g.members[i]
	g.members[i].at, g.members[j].at = i, j
}

// pick gives the subscription whose turn it is, nil when the group is empty, and among
// how many it was chosen.
func (g *shareGroup) pick() (sub *subscription, among int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	among = g.online
	if among == 0 {
		among = len(g.members)
	}
	if among == 0 {
		return nil, 0
	}
	g.next++
	return g.members[g.next%uint(among)].sub, among
}

// deliver gives m to one member and reports whether one has taken it. No lock may be
// held.
func (g *shareGroup) deliver(m *Message) bool {
	for try := 1; ; {
		sub, among := g.pick()
		if sub == nil {
			return false
		}
		final := try >= min(among, maxShareTries)
		reason, ok := sub.to.offer(&delivery{
			m: m, ids: sub.ids, qos: min(m.qos, sub.qos), // [MQTT-4.8.2-3]
			retain: m.retain && sub.rap, live: true, share: g,
		}, final)
		switch {
		case ok:
			return true
		case reason == DropSessionEnded: // it has left the group meanwhile
		case reason == DropStreamClosed:
			g.expel(sub)
		case !final:
			try++
		default:
			sub.to.s.dropped(reason)
			return false
		}
	}
}

// setOnline tells the groups of s that it has got or lost its client. s.mu is held.
func (s *Session) setOnline(online bool) {
	for _, m := range s.memberships {
		m.setOnline(online)
	}
}

// leaveGroups takes s, which ends, out of its groups, before it gives up what it has of
// them: nothing more comes. s.mu is held.
func (s *Session) leaveGroups() {
	for _, m := range s.memberships {
		m.group.remove(m)
	}
	s.memberships = nil
}

// joined puts m into the list of s. s.mu is held.
func (s *Session) joined(m *member) {
	m.mine = len(s.memberships)
	s.memberships = append(s.memberships, m)
}

// forgetMember takes m out of the list of s, if that has not ended. s.mu is held.
func (s *Session) forgetMember(m *member) {
	if s.memberships == nil {
		return
	}
	last := len(s.memberships) - 1
	moved := s.memberships[last]
	s.memberships[m.mine], moved.mine = moved, m.mine
	s.memberships[last] = nil
	s.memberships = s.memberships[:last]
}

// takeShared takes the messages of groups out of a session that ends, those that
// another member gets, in the order in which they were or would have been sent. s.mu is
// held.
func (s *Session) takeShared() []delivery {
	var again []delivery
	s.out.rewind()
	for _, id := range s.out.resend {
		if f := s.out.find(id); f.share != nil && f.qos == 1 {
			d := f.delivery
			s.out.finish(f)
			again = append(again, d)
		}
	}
	return s.queue.take(func(d *delivery) bool { return d.share != nil && d.qos > 0 }, again)
}
