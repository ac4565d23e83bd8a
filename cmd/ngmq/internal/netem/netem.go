// Package netem is a proxy that makes a path worse: loss, delay and a limited rate, for
// UDP (QUIC) and TCP, so that both can be seen side by side on one machine.
//
//	Parse("loss=1%,delay=50ms,rate=10mbit") -> Params -> Start -> Proxy (connect to its Addr)
//
// UDP is the real thing: each datagram is lost by chance, waits in the queue of the
// bottleneck, which drops what does not fit, and arrives later by the delay, in order.
//
// A proxy of TCP cannot lose segments, for the kernel acknowledges them to the sender
// before the proxy sees them. Loss is a model here, of TCP with RACK (RFC 8985, RFC 6298):
// a lost segment of up to 1,448 bytes arrives late, and everything behind it waits: until
// a round trip and a quarter after the arrival of the next segment, which tells the sender
// about the loss, or when there is none, for a timeout of a round trip and 200 ms; a
// retransmission that is lost too waits for the timeout, which then doubles. A lost SYN
// costs one second. What is not modelled is the congestion window: bulk transfers over
// real TCP get slower with loss than here. Network namespaces with tc netem show the real
// thing, but need root.
package netem

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Params say how bad the path is. The zero value passes everything on at once.
type Params struct {
	Loss  float64       // probability that a datagram or segment is lost, in each direction, 0 to 1
	Delay time.Duration // one way; a round trip has it twice
	Rate  float64       // bytes per second in each direction, of all connections together; 0 = no limit
}

// maxDelay is the longest delay: above it nothing but timeouts would be seen.
const maxDelay = 10 * time.Second

// Parse reads e.g. "loss=1%,delay=50ms,rate=10mbit": loss in percent, delay as in Go,
// rate in kbit, mbit or gbit per second.
func Parse(text string) (Params, error) {
	var p Params
	var errs []error
	for setting := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(setting), "=")
		var err error
		switch name {
		case "loss":
			p.Loss, err = parseLoss(value)
		case "delay":
			p.Delay, err = time.ParseDuration(value)
			if err != nil || p.Delay < 0 || p.Delay > maxDelay {
				err = fmt.Errorf("delay %q: a time up to %s, e.g. 50ms", value, maxDelay)
			}
		case "rate":
			p.Rate, err = parseRate(value)
		default:
			err = fmt.Errorf("%q is unknown: give loss=1%%, delay=50ms, rate=10mbit, or some of them", name)
		}
		errs = append(errs, err)
	}
	return p, errors.Join(errs...)
}

func parseLoss(value string) (float64, error) {
	percent, ok := strings.CutSuffix(value, "%")
	loss, err := strconv.ParseFloat(percent, 64)
	if !ok || err != nil || !(loss >= 0 && loss <= 50) {
		return 0, fmt.Errorf("loss %q: a percentage up to 50%%, e.g. 1%%", value)
	}
	return loss / 100, nil
}

func parseRate(value string) (float64, error) {
	for unit, bits := range map[string]float64{"kbit": 1e3, "mbit": 1e6, "gbit": 1e9} {
		if number, ok := strings.CutSuffix(value, unit); ok {
			if rate, err := strconv.ParseFloat(number, 64); err == nil && rate > 0 && rate <= 1e6 {
				return rate * bits / 8, nil
			}
		}
	}
	return 0, fmt.Errorf("rate %q: e.g. 500kbit, 10mbit or 1gbit", value)
}

// String is what Parse reads.
func (p Params) String() string {
	var parts []string
	if p.Loss > 0 {
		parts = append(parts, fmt.Sprintf("loss=%g%%", p.Loss*100))
	}
	if p.Delay > 0 {
		parts = append(parts, "delay="+p.Delay.String())
	}
	if p.Rate > 0 {
		parts = append(parts, fmt.Sprintf("rate=%gmbit", p.Rate*8/1e6))
	}
	return strings.Join(parts, ",")
}

// Proxy is a running proxy.
type Proxy struct {
	params Params
	target string
	ended  chan struct{}
	once   sync.Once
	close  func()
	addr   string
	links  [2]*bottleneck // towards the server, towards the clients
	Stats  Stats
}

// Start listens on a port of 127.0.0.1 that the system chooses and relays to target,
// "host:port". network is "udp" or "tcp". The caller closes it.
func Start(network, target string, params Params) (*Proxy, error) {
	p := &Proxy{params: params, target: target, ended: make(chan struct{})}
	for i := range p.links {
		p.links[i] = &bottleneck{rate: params.Rate}
	}
	switch network {
	case "udp":
		return p, p.startUDP()
	case "tcp":
		return p, p.startTCP()
	}
	return nil, fmt.Errorf("netem: no proxy for %s", network)
}

// Addr is where to connect to.
func (p *Proxy) Addr() string { return p.addr }

// Close ends the proxy and all that goes through it.
func (p *Proxy) Close() {
	p.once.Do(func() { close(p.ended); p.close() })
}

// lost throws the dice.
func (p *Proxy) lost() bool { return p.params.Loss > 0 && rand.Float64() < p.params.Loss }

// wait waits until the time, or the end of the proxy, which it reports as false.
func (p *Proxy) wait(until time.Time) bool {
	d := time.Until(until)
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ended:
		return false
	}
}

// bufferTime is how much the queue of a bottleneck holds, as a time: what home routers have.
const bufferTime = 100 * time.Millisecond

// bottleneck is a link with a rate, shared by all connections of a direction.
type bottleneck struct {
	rate float64
	mu   sync.Mutex
	free time.Time // when it has sent what was given to it
}

// enter gives n bytes to the link and returns when it has sent them. ok is false when
// the queue is full.
func (b *bottleneck) enter(n int, now time.Time) (sent time.Time, ok bool) {
	if b.rate == 0 {
		return now, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free.Before(now) {
		b.free = now
	}
	if b.free.Sub(now) > bufferTime {
		return b.free, false
	}
	b.free = b.free.Add(time.Duration(float64(n) / b.rate * float64(time.Second)))
	return b.free, true
}
