package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/probe"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// pingCommand times how connections come about.
type pingCommand struct {
	ID       string        `short:"i" placeholder:"ID" help:"Client id. Default: chosen by the broker."`
	Protocol protocol      `short:"V" name:"protocol-version" default:"mqttv5" placeholder:"VERSION" help:"mqttv5, mqttv311 or mqttv31. (${default})"`
	Count    int           `short:"C" name:"count" default:"1" placeholder:"N" help:"Do it N times; medians follow. (${default})"`
	Interval secondsOption `default:"1" placeholder:"SECONDS" help:"Wait between the times. (${default})"`
	Timeout  secondsOption `short:"W" name:"timeout" default:"10" placeholder:"SECONDS" help:"Give a connection up after this time. (${default})"`

	Fallback bool `group:"Server" help:"When QUIC gets nowhere, time TLS at the same host, and then secure WebSocket, at their usual ports."`

	target
}

// Run prints a line for each connection: full, resumed and 0-RTT handshake as far as the
// transport has them.
func (p *pingCommand) Run(c *console) error {
	wrong := p.validate(c)
	wrong.check(p.Count < 1, "-C must be 1 or more")
	wrong.check(p.Proxy != "" && quicURL(p.URL) && !p.Fallback, overProxy+", or add --fallback")
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	address, _, err := p.server()
	if err != nil {
		return err
	}
	p.warn(c, address)
	o := p.options(c)
	for i, address := range p.addresses(address) {
		var unreachable *failed
		if i > 0 && (!errors.As(err, &unreachable) || unreachable.status != exitNoServer) {
			break
		}
		if err != nil {
			c.warnf("%v", err)
		}
		err = p.ping(c, o, address)
	}
	return err
}

// addresses are the servers to ask: with --fallback those for when QUIC gets nowhere too, or
// cannot because of a proxy.
func (p *pingCommand) addresses(address string) []string {
	u, err := url.Parse(address)
	if err != nil || !p.Fallback || u.Scheme != "quic" {
		return []string{address}
	}
	host := strings.TrimSuffix(net.JoinHostPort(u.Hostname(), ""), ":") // IPv6 in brackets, and no port
	list := []string{address, "mqtts://" + host, "wss://" + host}
	if p.Proxy != "" {
		return list[1:]
	}
	return list
}

// ping times connections to one server.
func (p *pingCommand) ping(c *console, o client.Options, address string) error {
	server, err := remote.Parse(address, o)
	if err != nil {
		return err
	}
	id := p.ID
	if id == "" && packet.Version(p.Protocol) == packet.V31 {
		id = "ngmq-ping"
	}
	connect := server.Connect(packet.Version(p.Protocol), id, o.Username, o.Password)
	prober, err := probe.New(probe.Config{Server: server, TLS: o.TLS, Connect: connect,
		CongestionControl: o.CongestionControl, QlogDir: p.QlogDir, Logger: o.Logger})
	if err != nil {
		return err
	}
	defer prober.Close()
	return p.rounds(c, prober, address)
}

func (p *pingCommand) rounds(c *console, prober *probe.Prober, address string) error {
	var results []probe.Result
	for i := range p.Count {
		if i > 0 {
			select {
			case <-time.After(time.Duration(p.Interval)):
			case <-c.Done():
				return nil
			}
		}
		for _, kind := range prober.Kinds() {
			r, err := p.probe(c, prober, kind)
			if err != nil {
				return p.failure(c, err)
			}
			if len(results) == 0 {
				fmt.Fprintf(c.stdout, "%s (%s)\n", redactedURL(address), r.Addr)
			}
			results = append(results, r)
			fmt.Fprintln(c.stdout, resultLine(r))
		}
	}
	if p.Count > 1 {
		printMedians(c, prober.Kinds(), results)
	}
	return nil
}

func (p *pingCommand) probe(c *console, prober *probe.Prober, kind probe.Kind) (probe.Result, error) {
	ctx, cancel := context.WithTimeout(c, time.Duration(p.Timeout))
	defer cancel()
	return prober.Run(ctx, kind)
}

func (p *pingCommand) failure(c *console, err error) error {
	var refused *client.ReasonError
	switch {
	case c.Err() != nil:
		return nil
	case errors.As(err, &refused):
		return &failed{exitRefused, fmt.Errorf("connection refused: %w%s", err, refusalHint(refused.Code))}
	}
	return &failed{exitNoServer, fmt.Errorf("cannot connect: %w%s", err, p.connectHint(err))}
}

// resultLine is e.g. "full     quic 2.1 ms  connack 0.5 ms  total 2.6 ms  ping 0.2 ms  TLSv1.3 ...".
func resultLine(r probe.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s", r.Kind)
	for _, phase := range append(slices.Clone(r.Phases), probe.Phase{Name: "total", Time: r.Total}, probe.Phase{Name: "ping", Time: r.Ping}) {
		fmt.Fprintf(&b, " %s %s ", phase.Name, milliseconds(phase.Time))
	}
	if r.Detail != "" {
		b.WriteString(" (" + r.Detail + ")")
	}
	return strings.TrimRight(b.String(), " ")
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// printMedians prints a line of medians for each kind.
func printMedians(c *console, kinds []probe.Kind, results []probe.Result) {
	fmt.Fprintln(c.stdout, "medians:")
	for _, kind := range kinds {
		same := slices.DeleteFunc(slices.Clone(results), func(r probe.Result) bool { return r.Kind != kind })
		median := func(of func(probe.Result) time.Duration) time.Duration {
			var times []time.Duration
			for _, r := range same {
				times = append(times, of(r))
			}
			slices.Sort(times)
			return times[(len(times)-1)/2]
		}
		r := probe.Result{Kind: kind, Total: median(func(r probe.Result) time.Duration { return r.Total }),
			Ping: median(func(r probe.Result) time.Duration { return r.Ping })}
		for i, phase := range same[0].Phases {
			r.Phases = append(r.Phases, probe.Phase{Name: phase.Name, Time: median(func(r probe.Result) time.Duration { return r.Phases[i].Time })})
		}
		fmt.Fprintln(c.stdout, resultLine(r))
	}
}
