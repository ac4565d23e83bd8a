package broker

// Attachment is another form of a message that a listener has made and that lives as
// long as the message: its payload in C memory, for example.
type Attachment interface {
	// Release gives the attachment up. Called once, from any goroutine.
	Release()
}

// attached puts an interface value behind one pointer.
type attached struct{ Attachment }

// Attachment is what Attach has attached, nil when there is nothing yet. Any
// goroutine that holds a reference to m may call it and use the result meanwhile.
func (m *Message) Attachment() Attachment {
	if a := m.attached.Load(); a != nil {
		return a.Attachment
	}
	return nil
}

// Attach attaches a, unless another goroutine was faster, and gives what is attached
// now. If that is not a, it has released a.
func (m *Message) Attach(a Attachment) Attachment {
	if m.attached.CompareAndSwap(nil, &attached{a}) {
		return a
	}
	a.Release()
	return m.attached.Load().Attachment
}

// detach gives the attachment up, when the last reference is gone.
func (m *Message) detach() {
	if a := m.attached.Swap(nil); a != nil {
		a.Release()
	}
}
