package stream

const (
	// mostDeferred is for how many connections a reader writes after what it has read,
	// those beyond get goroutines: many receivers are work for all processors.
	mostDeferred = 16
	// mostLoopDeferred is the same for an event loop and the events of a round.
	mostLoopDeferred = 64
)

// round is what a goroutine has read and not yet answered.
type round struct {
	w        *worker // nil: a goroutine of one connection
	buf      []byte  // to read into; of the event loop
	most     int
	deferred []deferred // those to write to when what has been read has been handled
}

// deferred is a connection that can be written to without waiting.
type deferred interface {
	takeDuty() bool
	// turn writes what there is to write. The caller has the duty.
	turn(r *round)
}

// take takes on to write to a connection.
func (r *round) take(to any) bool {
	other, ok := to.(deferred)
	if !ok || len(r.deferred) >= r.most {
		return false
	}
	if other.takeDuty() {
		r.deferred = append(r.deferred, other)
	}
	return true
}

// finish writes to those that were taken on, also meanwhile.
func (r *round) finish() {
	for i := 0; i < len(r.deferred); i++ {
		other := r.deferred[i]
		r.deferred[i] = nil
		other.turn(r)
	}
	r.deferred = r.deferred[:0]
}
