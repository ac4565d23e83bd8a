package broker

// Fail ends the connection because of something that is wrong below MQTT, as if Feed had
// found it: it is logged, and a client that was let in is told. The owner then does what
// it does after an error of Feed; what it gets is that error. Owner only.
func (c *Client) Fail(e *Error) error {
	err := c.fail(e)
	if c.dirty {
		c.dirty = false
		c.wake()
	}
	return err
}

// MaxPacketSize is the largest packet taken from a client, in bytes.
func (b *Broker) MaxPacketSize() int { return b.cfg.MaxPacketSize }
