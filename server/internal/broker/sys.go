package broker

import (
	"math"
	"strconv"
	"time"
)

// sysPrefix begins the topics of the broker itself. Clients may read them.
const sysPrefix = "$SYS/"

// sysTree publishes the broker's numbers as retained messages, with the topics that
// mosquitto has for them:
//
//	$SYS/broker/version, uptime
//	$SYS/broker/clients/connected, disconnected, total, maximum, expired
//	$SYS/broker/messages/received, sent                     packets of any type
//	$SYS/broker/publish/messages/received, sent, dropped
//	$SYS/broker/bytes/received, sent
//	$SYS/broker/subscriptions/count, shared_subscriptions/count
//	$SYS/broker/retained messages/count, retained messages/bytes
//	$SYS/broker/load/connections, messages/received, messages/sent, publish/received,
//	    publish/sent, publish/dropped, bytes/received, bytes/sent, each with /1min,
//	    /5min and /15min: per minute, an exponentially weighted mean
//
// What has not changed since the last time is not published again. The fields belong to
// the goroutine that runs timers.
type sysTree struct {
	b       *Broker
	timer   timer
	version string
	most    int64             // clients that were connected at a time
	values  map[string]string // what was published last
	loads   []load
}

// load is a total of which the rate is published.
type load struct {
	name  string
	total func(*Stats) uint64
	last  uint64
	rates [len(loadSpans)]float64 // per minute
}

// loadSpans are the times over which rates are averaged.
var loadSpans = [...]struct {
	name string
	time time.Duration
}{{"1min", time.Minute}, {"5min", 5 * time.Minute}, {"15min", 15 * time.Minute}}

// startSys begins to publish the tree, at the next tick first.
func (b *Broker) startSys() {
	t := &sysTree{b: b, values: make(map[string]string), version: b.cfg.Version}
	total := func(n [3]uint64) uint64 { return n[0] + n[1] + n[2] }
	t.loads = []load{
		{name: "connections", total: func(s *Stats) uint64 { return s.ClientsTotal }},
		{name: "messages/received", total: func(s *Stats) uint64 { return s.PacketsReceived }},
		{name: "messages/sent", total: func(s *Stats) uint64 { return s.PacketsSent }},
		{name: "publish/received", total: func(s *Stats) uint64 { return total(s.MessagesReceived) }},
		{name: "publish/sent", total: func(s *Stats) uint64 { return total(s.MessagesSent) }},
		{name: "publish/dropped", total: (*Stats).droppedTotal},
		{name: "bytes/received", total: func(s *Stats) uint64 { return s.BytesReceived }},
		{name: "bytes/sent", total: func(s *Stats) uint64 { return s.BytesSent }},
	}
	b.timers.set(&t.timer, t, b.now())
}

// onTimer publishes what has changed.
func (t *sysTree) onTimer(now int64) {
	s := t.b.Stats()
	t.most = max(t.most, s.Clients)
	t.publish("version", t.version)
	t.publish("uptime", strconv.FormatInt((now-t.b.epoch)/int64(time.Second), 10)+" seconds")
	for name, n := range t.numbers(&s) {
		t.publish(name, strconv.FormatUint(n, 10))
	}
	for i := range t.loads {
		t.publishLoad(&t.loads[i], &s)
	}
	t.b.timers.set(&t.timer, t, now+int64(t.b.cfg.SysInterval))
}

func (t *sysTree) numbers(s *Stats) map[string]uint64 {
	return map[string]uint64{
		"clients/connected":          uint64(s.Clients),
		"clients/disconnected":       uint64(max(s.Sessions-s.Clients, 0)),
		"clients/total":              uint64(s.Sessions),
		"clients/maximum":            uint64(t.most),
		"clients/expired":            s.SessionsExpired,
		"messages/received":          s.PacketsReceived,
		"messages/sent":              s.PacketsSent,
		"publish/messages/received":  s.MessagesReceived[0] + s.MessagesReceived[1] + s.MessagesReceived[2],
		"publish/messages/sent":      s.MessagesSent[0] + s.MessagesSent[1] + s.MessagesSent[2],
		"publish/messages/dropped":   s.droppedTotal(),
		"bytes/received":             s.BytesReceived,
		"bytes/sent":                 s.BytesSent,
		"subscriptions/count":        uint64(s.Subscriptions),
		"shared_subscriptions/count": uint64(s.SharedSubscriptions),
		"retained messages/count":    uint64(s.Retained),
		"retained messages/bytes":    uint64(s.RetainedBytes),
	}
}

// publishLoad brings the rates of l up to date.
func (t *sysTree) publishLoad(l *load, s *Stats) {
	n := l.total(s)
	interval := t.b.cfg.SysInterval
	now := float64(n-l.last) * float64(time.Minute) / float64(interval)
	l.last = n
	for i, span := range loadSpans {
		l.rates[i] = now + math.Exp(-float64(interval)/float64(span.time))*(l.rates[i]-now)
		t.publish("load/"+l.name+"/"+span.name, strconv.FormatFloat(l.rates[i], 'f', 2, 64))
	}
}

func (t *sysTree) publish(name, value string) {
	if t.values[name] == value {
		return
	}
	t.values[name] = value
	// The topics are valid, whatever MaxTopicLength and MaxTopicLevels say to them: with
	// limits that small there is no tree.
	_ = t.b.Publish(Publication{Topic: sysPrefix + "broker/" + name, Payload: []byte(value), Retain: true})
}

// droppedTotal is the number of deliveries that were dropped, for whatever reason.
func (s *Stats) droppedTotal() (n uint64) {
	for _, v := range s.Dropped {
		n += v
	}
	return n
}

// reserved reports whether clients may not publish to a topic: the broker's own
// (MQTT 5.0 section 4.7.2), when it publishes there.
func (b *Broker) reserved(topic []byte) bool {
	return b.cfg.SysInterval > 0 && len(topic) >= len(sysPrefix) && string(topic[:len(sysPrefix)]) == sysPrefix
}
