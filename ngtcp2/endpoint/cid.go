package endpoint

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/quiclb"
)

const (
	// cidLen is the length of every Connection ID that this package chooses without
	// Config.LoadBalancer: one byte of worker number and eight random bytes.
	cidLen = 9
	// initialDCIDLen is the length of a client's first destination CID; RFC
	// 9000 section 7.2 asks for at least 8 unpredictable bytes.
	initialDCIDLen = 16
	// activeCIDLimit is how many of the peer's CIDs are stored: enough for a
	// migration while an earlier one is being validated.
	activeCIDLimit = 4
)

// supportedVersions is the default of Config.Versions (RFC 9000, RFC 9369).
var supportedVersions = []uint32{ngtcp2.VersionV1, ngtcp2.VersionV2}

// newCID makes a CID that leads to this worker.
func (c *Core) newCID() ngtcp2.ConnectionID {
	var b [ngtcp2.MaxCIDLen]byte
	if c.lb != nil {
		id, _ := ngtcp2.NewConnectionID(c.lb.Append(b[:0]))
		return id
	}
	_, _ = rand.Read(b[1:cidLen]) // never fails
	b[0] = byte(c.worker)
	id, _ := ngtcp2.NewConnectionID(b[:cidLen])
	return id
}

// workerOf is the worker that made cid, of cidLen bytes. ok is false when no worker here
// did; without a load balancer that is seen of few.
func (c *Core) workerOf(cid []byte) (worker int, ok bool) {
	if c.lb != nil {
		return c.lb.Worker(cid)
	}
	return int(cid[0]), int(cid[0]) < c.peers
}

// issue tells cfg what CIDs its connection issues later: with a load balancer those that
// giveCIDs gives.
func (c *Core) issue(cfg *ngtcp2.ConnConfig) {
	if c.lb != nil {
		cfg.GivenCIDs = true
		return
	}
	cfg.CIDPrefix = cfg.SCID.Bytes()[:1]
}

// giveCIDs replaces what connections have issued.
func (c *Core) giveCIDs() {
	for c.lb != nil && c.events.GivenCIDs() < ngtcp2.MaxGivenCIDs {
		c.events.GiveCID(c.newCID())
	}
}

// RotateLoadBalancer gives Connection IDs that are chosen from now on the form c, with
// another ID and key than Config.LoadBalancer. Those that connections have stay valid: the
// load balancer has to know both Configs until the last of these connections has ended.
// Errors: there is no Config.LoadBalancer; quiclb.CheckRotation. Any goroutine; it does not
// wait for the workers, each of which goes over to c with its next turn.
func (e *Endpoint) RotateLoadBalancer(c quiclb.Config) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.form == nil {
		return errors.New("endpoint: RotateLoadBalancer: there is no Config.LoadBalancer: start with one")
	}
	if err := quiclb.CheckRotation(*e.form, c); err != nil {
		return fmt.Errorf("endpoint: RotateLoadBalancer: %w", err)
	}
	c.ServerID, c.Key = bytes.Clone(c.ServerID), bytes.Clone(c.Key)
	e.form = &c
	for _, w := range e.workers {
		w.core.inbox.post(func() { w.core.rotate(c) })
	}
	return nil
}

// rotate goes over to another form of Connection IDs, which has been checked.
func (c *Core) rotate(form quiclb.Config) {
	if err := c.lb.Rotate(form); err != nil {
		c.cfg.Logger.Error("endpoint: Connection IDs keep their form", "err", err)
		return
	}
	c.events.DropGivenCIDs()
	c.giveCIDs()
}

// randomCID makes a client's first destination CID.
func randomCID() ngtcp2.ConnectionID {
	var b [initialDCIDLen]byte
	_, _ = rand.Read(b[:]) // never fails
	id, _ := ngtcp2.NewConnectionID(b[:])
	return id
}

// cidTable leads from destination CIDs to connections, closing and draining
// ones included, and from the reset tokens that peers gave to live ones: the
// DCID of a stateless reset is random (RFC 9000 section 10.3.1).
type cidTable struct {
	m      map[ngtcp2.ConnectionID]*Conn
	tokens map[ngtcp2.StatelessResetToken]*Conn
}

func newCIDTable() cidTable {
	return cidTable{make(map[ngtcp2.ConnectionID]*Conn), make(map[ngtcp2.StatelessResetToken]*Conn)}
}

// resetFor finds the connection that a short header packet may be a stateless
// reset for, nil when there is none. The transport has the last word.
func (t *cidTable) resetFor(pkt []byte) *Conn {
	if len(pkt) < resetMin {
		return nil
	}
	return t.tokens[ngtcp2.StatelessResetToken(pkt[len(pkt)-ngtcp2.StatelessResetTokenLen:])]
}

// addToken and removeToken follow the CIDs of the peer that are in use.
func (t *cidTable) addToken(token ngtcp2.StatelessResetToken, c *Conn) {
	t.tokens[token] = c
	c.tokens = append(c.tokens, token)
}

func (t *cidTable) removeToken(token ngtcp2.StatelessResetToken, c *Conn) {
	if t.tokens[token] == c {
		delete(t.tokens, token)
	}
	if i := slices.Index(c.tokens, token); i >= 0 {
		c.tokens = slices.Delete(c.tokens, i, i+1)
	}
}

func (t *cidTable) removeTokens(c *Conn) {
	for len(c.tokens) > 0 {
		t.removeToken(c.tokens[0], c)
	}
	c.tokens = nil
}

// lookup finds the connection of a packet's DCID, nil when unknown.
func (t *cidTable) lookup(dcid []byte) *Conn {
	id, err := ngtcp2.NewConnectionID(dcid)
	if err != nil {
		return nil
	}
	return t.m[id]
}

func (t *cidTable) add(id ngtcp2.ConnectionID, c *Conn) { t.m[id] = c }

// remove forgets id, unless it leads to another connection than c.
func (t *cidTable) remove(id ngtcp2.ConnectionID, c *Conn) {
	if t.m[id] == c {
		delete(t.m, id)
	}
}
