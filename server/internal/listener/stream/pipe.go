package stream

import (
	"net"
	"sync"
)

// Pipe makes a Listener for clients of the same process: Dial connects them without a
// network. cfg is without TLS, WebSocket and PROXY protocol.
func Pipe(cfg Config) *Listener {
	p := &pipeListener{closed: make(chan struct{})}
	cfg.Loop = nil
	accept := func() (socket, error) { // Serve waits for Close
		_, err := p.Accept()
		return nil, err
	}
	return newListener(p, "pipe", accept, cfg)
}

// Dial makes a connection to a Listener made by Pipe. It is not buffered (net.Pipe) and
// it ends at once when the broker is full or the listener is closed.
func (l *Listener) Dial() net.Conn {
	client, server := net.Pipe()
	l.admit(pipe{server})
	return client
}

// pipe is the server's end of a connection.
type pipe struct{ net.Conn }

// CloseWrite implements socket: what has been written has been read, for nothing is
// buffered.
func (p pipe) CloseWrite() error { return p.Close() }

// pipeListener accepts nothing until it is closed.
type pipeListener struct {
	once   sync.Once
	closed chan struct{}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	<-p.closed
	return nil, net.ErrClosed
}

func (p *pipeListener) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "in process" }
