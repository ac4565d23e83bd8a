package interop

import (
	"context"
	"fmt"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"
)

// paho5 is eclipse paho.golang: MQTT 5.0.
type paho5 struct {
	dial   dialer
	o      options
	in     chan message
	conn   abortableConn
	client *paho.Client
}

func newPaho5(dial dialer, o options) client {
	return &paho5{dial: dial, o: o, in: make(chan message, 20_000)}
}

func (p *paho5) connect(ctx context.Context) (bool, error) {
	conn, err := p.dial(ctx)
	if err != nil {
		return false, err
	}
	p.conn = conn
	// paho.golang writes a packet in pieces and pings from another goroutine.
	p.client = paho.NewClient(paho.ClientConfig{
		ClientID: p.o.id, Conn: packets.NewThreadSafeConn(conn), PacketTimeout: patience, Session: state.NewInMemory(),
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){p.onPublish},
	})
	ack, err := p.client.Connect(ctx, p.packet())
	if err != nil {
		return false, err
	}
	return ack.SessionPresent, nil
}

func (p *paho5) packet() *paho.Connect {
	c := &paho.Connect{ClientID: p.o.id, KeepAlive: p.o.keepAlive, CleanStart: !p.o.persistent}
	if p.o.persistent {
		expiry := uint32(3600)
		c.Properties = &paho.ConnectProperties{SessionExpiryInterval: &expiry}
	}
	if w := p.o.will; w != nil {
		c.WillMessage = &paho.WillMessage{Topic: w.topic, Payload: []byte(w.payload), QoS: w.qos, Retain: w.retain}
	}
	return c
}

func (p *paho5) onPublish(r paho.PublishReceived) (bool, error) {
	m := r.Packet
	p.in <- message{topic: m.Topic, payload: string(m.Payload), qos: m.QoS, retain: m.Retain}
	return true, nil
}

func (p *paho5) publish(ctx context.Context, m message) error {
	ack, err := p.client.Publish(ctx, &paho.Publish{Topic: m.topic, Payload: []byte(m.payload), QoS: m.qos, Retain: m.retain})
	if err == nil && ack != nil && ack.ReasonCode >= 0x80 {
		return fmt.Errorf("reason code 0x%02x", ack.ReasonCode)
	}
	return err
}

func (p *paho5) subscribe(ctx context.Context, filter string, qos byte) (byte, error) {
	ack, err := p.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}})
	if err != nil {
		return 0, err
	}
	return ack.Reasons[0], nil
}

func (p *paho5) unsubscribe(ctx context.Context, filter string) error {
	_, err := p.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{filter}})
	return err
}

func (p *paho5) received() <-chan message { return p.in }

func (p *paho5) disconnect() {
	p.client.Disconnect(&paho.Disconnect{})
}

func (p *paho5) drop() { p.conn.abort() }
