package broker

// Session is what the broker keeps of a client identifier across connections:
// subscriptions, messages that wait, packet identifiers, the will.
type Session struct {
	id string
}

// ID is the client identifier.
func (s *Session) ID() string { return s.id }
