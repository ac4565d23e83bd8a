package client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
)

// Dialer opens network connections to MQTT servers for other clients, such as
// eclipse paho.golang (autopaho.ClientConfig.AttemptConnection) and paho.mqtt.golang
// (ClientOptions.SetCustomOpenConnectionFn), which so get QUIC and all other schemes of
// this package. The zero value is usable; it must not be changed after its first use. Any goroutine may
// call Dial.
//
// A QUIC connection is a net.Conn on its first stream. Write returns before the data is sent, and Close
// returns at once: what was written is delivered first, in the background.
type Dialer struct {
	// TLS says how servers are verified; see [Options.TLS]. With EarlyDataOn the client's
	// first write goes with the first packets; EarlyDataAuto is off here. Dial refuses a CA or
	// a certificate for a URL that is in clear text.
	TLS TLS
	// Proxy and LocalAddr are those of [Options]; with a Proxy, Dial refuses quic://.
	Proxy     string
	LocalAddr netip.Addr
	// CongestionControl, QlogDir and Logger are those of [Options].
	CongestionControl CongestionControl
	QlogDir           string
	Logger            *slog.Logger
	// Endpoint, when set, carries the QUIC connections; see [Options.Endpoint].
	Endpoint *Endpoint

	once   sync.Once
	dialer dialer
	err    error
}

// Dial connects to a URL such as quic://host:14567; see the package doc. User and
// password of the URL are left to the client. ctx bounds the dial and the handshake, not
// the connection.
func (d *Dialer) Dial(ctx context.Context, url string) (net.Conn, error) {
	srv, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	o := Options{Servers: []string{url}, Proxy: d.Proxy}
	if err := errors.Join(d.TLS.checkUsed(o.Servers), o.validateProxy()); err != nil {
		return nil, err
	}
	d.once.Do(d.prepare)
	if d.err != nil {
		return nil, d.err
	}
	return d.dialer.dial(ctx, srv, d.TLS.EarlyData == EarlyDataOn)
}

func (d *Dialer) prepare() {
	o := Options{TLS: d.TLS, Proxy: d.Proxy, LocalAddr: d.LocalAddr, Endpoint: d.Endpoint, CongestionControl: d.CongestionControl, QlogDir: d.QlogDir, Logger: d.Logger}.withDefaults()
	log := func(err error) { o.Logger.Warn("mqtt dialer", "error", err) }
	sessions, err := openSessions(d.TLS.SessionFile, log)
	d.dialer, d.err = dialer{&o, sessions}, errors.Join(d.TLS.validate(), validateCongestion(d.CongestionControl), err)
}
