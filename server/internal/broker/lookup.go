package broker

import "log/slog"

// ClientState is what a connected client is like at one moment.
type ClientState struct {
	Client  *ClientInfo // where it is now, and how it got here
	Streams int         // open: the control stream and, over QUIC, data streams
}

// Lookup finds a connected client by its identifier. Any goroutine.
func (b *Broker) Lookup(clientID string) (state ClientState, ok bool) {
	b.mu.Lock()
	s := b.cfg.Sessions.Lookup(clientID)
	b.mu.Unlock()
	if s == nil {
		return state, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client
	if c == nil || c.live.Load() == nil {
		return state, false
	}
	return ClientState{c.info, 1 + int(c.streams.Load())}, true
}

// attrs are the transport for the log.
func (i *ConnInfo) attrs() []slog.Attr {
	list := []slog.Attr{slog.String("transport", i.Transport), slog.Any("remote", i.Remote)}
	if t := i.TLS; t != nil {
		list = append(list, slog.String("tls", t.Version), slog.Bool("resumed", t.Resumed), slog.Bool("early_data", t.EarlyData))
	}
	return list
}
