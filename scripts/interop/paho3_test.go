package interop

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// paho3 is eclipse paho.mqtt.golang: MQTT 3.1.1.
type paho3 struct {
	dial   dialer
	o      options
	in     chan message
	conn   abortableConn
	client mqtt.Client
}

func newPaho3(dial dialer, o options) client {
	return &paho3{dial: dial, o: o, in: make(chan message, 20_000)}
}

func (p *paho3) connect(ctx context.Context) (bool, error) {
	p.client = mqtt.NewClient(p.options())
	token := p.client.Connect()
	if err := wait(ctx, token); err != nil {
		return false, err
	}
	return token.(*mqtt.ConnectToken).SessionPresent(), nil
}

func (p *paho3) options() *mqtt.ClientOptions {
	o := mqtt.NewClientOptions().
		AddBroker("tcp://broker.invalid:1").
		SetCustomOpenConnectionFn(p.open).
		SetClientID(p.o.id).
		SetProtocolVersion(4).
		SetCleanSession(!p.o.persistent).
		SetKeepAlive(time.Duration(p.o.keepAlive) * time.Second).
		SetAutoReconnect(false).
		SetConnectTimeout(patience).
		SetDefaultPublishHandler(p.onPublish)
	if w := p.o.will; w != nil {
		o.SetBinaryWill(w.topic, []byte(w.payload), w.qos, w.retain)
	}
	return o
}

func (p *paho3) open(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	p.conn = conn
	return conn, nil
}

func (p *paho3) onPublish(_ mqtt.Client, m mqtt.Message) {
	p.in <- message{topic: m.Topic(), payload: string(m.Payload()), qos: m.Qos(), retain: m.Retained()}
}

func (p *paho3) publish(ctx context.Context, m message) error {
	return wait(ctx, p.client.Publish(m.topic, m.qos, m.retain, m.payload))
}

func (p *paho3) subscribe(ctx context.Context, filter string, qos byte) (byte, error) {
	token := p.client.Subscribe(filter, qos, nil)
	if err := wait(ctx, token); err != nil {
		return 0, err
	}
	return token.(*mqtt.SubscribeToken).Result()[filter], nil
}

func (p *paho3) unsubscribe(ctx context.Context, filter string) error {
	return wait(ctx, p.client.Unsubscribe(filter))
}

func (p *paho3) received() <-chan message { return p.in }

func (p *paho3) disconnect() { p.client.Disconnect(100) }

func (p *paho3) drop() { p.conn.abort() }

func wait(ctx context.Context, token mqtt.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}
