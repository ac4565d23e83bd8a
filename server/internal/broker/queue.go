package broker

// delivery is a message on its way to one session.
type delivery struct {
	m      *Message
	ids    []byte      // encoded Subscription Identifier properties; shared, never changed
	qos    byte        // the lower of the publisher's and the granted one [MQTT-3.8.4-8]
	retain bool        // RETAIN, if the client's version allows it
	live   bool        // retain is Retain As Published, which 5.0 clients alone know
	stored bool        // comes from the retained store
	share  *shareGroup // that the session got it for; nil = for itself
}

// queue is a first-in-first-out ring of deliveries. The zero value is empty.
type queue struct {
	ring  []delivery // its length is 0 or a power of two
	head  int
	n     int
	bytes int // sum of the message sizes
}

// Sizes of the ring, in deliveries.
const (
	minQueue  = 4
	keepQueue = 1024 // a larger ring is given back when the queue runs empty
)

func (q *queue) at(i int) *delivery { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue) push(d *delivery) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.n++
	*q.at(q.n - 1) = *d
	q.bytes += d.m.Size()
}

func (q *queue) grow() {
	ring := make([]delivery, max(minQueue, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// pop removes the first delivery; its reference goes to the caller.
func (q *queue) pop() (d delivery) {
	q.popTo(&d)
	return d
}

// popTo is pop to where the delivery is to be.
func (q *queue) popTo(d *delivery) {
	first := q.at(0)
	*d, *first = *first, delivery{}
	q.head++
	q.n--
	q.bytes -= d.m.Size()
	if q.n == 0 && len(q.ring) > keepQueue {
		q.ring, q.head = nil, 0
	}
}

// take removes the deliveries for which remove says so and appends them to dst. The
// others keep their order. When there are none, which is the rule, nothing moves.
func (q *queue) take(remove func(*delivery) bool, dst []delivery) []delivery {
	first := 0
	for first < q.n && !remove(q.at(first)) {
		first++
	}
	if first == q.n {
		return dst
	}
	var rest queue
	for q.n > 0 {
		if d := q.pop(); remove(&d) {
			dst = append(dst, d)
		} else {
			rest.push(&d)
		}
	}
	*q = rest
	return dst
}
