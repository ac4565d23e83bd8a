package endpoint

import "github.com/ngmq/ngmq/ngtcp2"

// ValidatedPathHandler is what a ConnHandler implements too if it has to know where the
// peer is for sure, for access control or limits. It is called on the worker.
type ValidatedPathHandler interface {
	// OnPathValidated: the peer is at to, which is in use, and has answered there; before
	// it was at from (RFC 9000 section 8.2). PathHandler tells earlier where packets go,
	// when the address that the peer sent from might still be a forged one.
	OnPathValidated(from, to ngtcp2.Path)
}

// proof is what a connection keeps whose path has ever changed.
type proof struct {
	path       ngtcp2.Path // the last one in use that was validated
	validating ngtcp2.Path // zero: none
}

// ValidatedPath is the last path in use at which the peer has shown to be: the one of the
// handshake, or one that was validated since. Before the handshake is complete nothing is
// shown.
func (c *Conn) ValidatedPath() ngtcp2.Path {
	if c.proof != nil {
		return c.proof.path
	}
	return *c.path.Load()
}

// needProof begins to keep proof, before the path changes for the first time or is
// validated.
func (c *Conn) needProof() *proof {
	if c.proof == nil {
		c.proof = &proof{path: *c.path.Load()}
	}
	return c.proof
}

// provePath notices that the path in use is validated. Call it when all events of a call
// have been handled: a validation that is aborted is told of before the one that follows.
func (c *Conn) provePath() {
	p := c.proof
	if p == nil || c.nc == nil {
		return
	}
	c.followPath()
	from, to := p.path, *c.path.Load()
	if from == to || to == p.validating {
		return
	}
	p.path = to
	if h, ok := c.app().(ValidatedPathHandler); ok {
		h.OnPathValidated(from, to)
	}
}
