package client

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ngmq/ngmq/mqtt/packet"
)

const (
	// maxHops is how many servers in a row may send a client on to another one before Connect
	// gives up: a cluster needs one or two, a circle has no end.
	maxHops = 5
	// maxReferences of one answer are tried. Its text may hold thousands.
	maxReferences = 8
)

// references is where servers have sent the client, with Options.FollowReference.
type references struct {
	once  []string            // by the last DISCONNECT: to be tried first, one time
	moved map[string][]string // for good, by the URL that was left
}

// sentElsewhere reports whether err is the answer of a server that names others.
func sentElsewhere(err error) (refusal *ReasonError, ok bool) {
	if !errors.As(err, &refusal) || refusal.Packet != packet.CONNACK && refusal.Packet != packet.DISCONNECT {
		return nil, false
	}
	return refusal, refusal.Code == packet.UseAnotherServer || refusal.Code == packet.ServerMoved
}

// followable are the servers that the answer err of the server at from names, as URLs, and
// that the client may go to. Those of packet.ServerMoved are remembered.
func (c *Client) followable(err error, from string) []string {
	answer, ok := sentElsewhere(err)
	if !ok || !c.opts.FollowReference {
		return nil
	}
	text, _ := answer.Properties.Bytes(packet.ServerReference)
	list := referred(string(text), from)
	if c.opts.Proxy != "" {
		list = slices.DeleteFunc(list, besideProxy)
	}
	if answer.Code == packet.ServerMoved && len(list) > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.references.moved == nil {
			c.references.moved = map[string][]string{}
		}
		if len(c.references.moved) < maxMoved {
			c.references.moved[from] = list
		}
	}
	return list
}

// maxMoved bounds what is remembered for good: more than any list of servers has.
const maxMoved = 64

// tour is the way through the servers until one lets the client in.
type tour struct {
	rest []string // to be tried
	been []string // answered
	hops int
}

// follow goes where the answer of a server leads, unless the client has been there.
func (t *tour) follow(list []string, from string) {
	t.been = append(t.been, from)
	list = slices.DeleteFunc(slices.Clone(list), func(url string) bool { return slices.Contains(t.been, url) })
	if len(list) == 0 || t.hops == maxHops {
		return
	}
	t.hops++
	rest := slices.DeleteFunc(t.rest, func(url string) bool { return slices.Contains(list, url) })
	t.rest = append(list, rest...)
}

// leftFor notes where the DISCONNECT err of a server sends the client.
func (c *Client) leftFor(err error, from string) {
	if list := c.followable(err, from); len(list) > 0 {
		c.opts.Logger.Info("mqtt client: the server sends this client elsewhere", "from", redacted(from), "cause", err)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.references.once = list
	}
}

// referenced puts the servers that list leads to before those that lead there, and the ones of
// the last DISCONNECT before all.
func (c *Client) referenced(list []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	add := func(url string) {
		if !slices.Contains(all, url) {
			all = append(all, url)
		}
	}
	for _, url := range c.references.once {
		add(url)
	}
	c.references.once = nil
	for _, url := range list {
		chain := []string{url}
		for i := 0; i < len(chain) && i < maxHops; i++ {
			for _, next := range c.references.moved[chain[i]] {
				if !slices.Contains(chain, next) {
					chain = append(chain, next)
				}
			}
		}
		for _, next := range slices.Backward(chain) {
			add(next)
		}
	}
	return all
}

// referred are the servers that a Server Reference names, as URLs, in its order (MQTT 5.0
// section 4.11). One without a scheme has what it lacks, port and path too, from the server that
// said so; user and password are always those for that one. What would be less protected is
// left out.
func referred(text, from string) (list []string) {
	base, err := url.Parse(from)
	if err != nil {
		return nil
	}
	for _, name := range strings.Fields(text) {
		u := reference(name, base)
		if u == nil || slices.Contains(list, u.String()) {
			continue
		}
		if list = append(list, u.String()); len(list) == maxReferences {
			break
		}
	}
	return list
}

// reference is one of them; nil when it cannot or must not be used.
func reference(name string, base *url.URL) *url.URL {
	bare := !strings.Contains(name, "://")
	if bare {
		name = base.Scheme + "://" + name
	}
	u, err := url.Parse(name)
	if err != nil {
		return nil
	}
	u.User = base.User
	if bare && u.Port() == "" && base.Port() != "" {
		u.Host = net.JoinHostPort(u.Hostname(), base.Port())
	}
	if bare && u.Path == "" {
		u.Path, u.RawPath, u.RawQuery = base.Path, base.RawPath, base.RawQuery
	}
	there, err := parseURL(u.String())
	if err != nil || checkQUIC(there) != nil || !allowed(there, base) {
		return nil
	}
	return u
}

// allowed keeps what is encrypted so, and a server in the network away from this host's sockets.
func allowed(there server, from *url.URL) bool {
	here, err := parseURL(from.String())
	switch {
	case err != nil || there.scheme == "unix":
		return false
	case there.encrypted():
		return true
	}
	return here.scheme == "tcp" || here.scheme == "ws"
}
