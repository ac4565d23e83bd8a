package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
	xquic "golang.org/x/net/quic"
)

// mux is a client's QUIC connection with any number of streams, of a stack that is not ours.
type mux interface {
	// open waits until the server allows another stream; uni: the client alone sends on it.
	open(ctx context.Context, uni bool) (muxStream, error)
	// end closes the connection at once: nothing that waits is sent first.
	end(code uint64)
	// closed waits until the server has closed the connection and gives its application error code.
	closed(ctx context.Context) (uint64, error)
	state() tls.ConnectionState
}

// muxStream is a stream of a mux.
type muxStream interface {
	io.ReadWriter
	id() int64
	fin()
	reset(code uint64)
	stopReading(code uint64)
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// muxDialer dials addr with a stack.
type muxDialer func(ctx context.Context, addr string, config *tls.Config) (mux, error)

var errNotClosed = errors.New("the server did not close the connection")

// resetCode is the application error code of a stream that the server has reset, or does not read any more.
func resetCode(t *testing.T, err error) uint64 {
	t.Helper()
	var ofGo *quic.StreamError
	var ofX xquic.StreamError
	var ofQuiche quicheReset
	switch {
	case errors.As(err, &ofGo):
		require.True(t, ofGo.Remote)
		return uint64(ofGo.ErrorCode)
	case errors.As(err, &ofX):
		return uint64(ofX)
	case errors.As(err, &ofQuiche):
		return uint64(ofQuiche)
	}
	require.Fail(t, "want a reset of the stream", "got %v", err)
	return 0
}

// goMux is a connection of quic-go.
type goMux struct{ conn *quic.Conn }

// muxConfig of quic-go: 0-RTT is sent when there is a ticket.
func muxConfig() *quic.Config {
	return &quic.Config{MaxIdleTimeout: matrixPatience, HandshakeIdleTimeout: matrixPatience, EnableDatagrams: true}
}

// dialGo dials with quic-go and waits for the handshake.
func dialGo(ctx context.Context, addr string, config *tls.Config) (mux, error) {
	conn, err := quic.DialAddr(ctx, addr, config, muxConfig())
	if err != nil {
		return nil, err
	}
	return goMux{conn}, nil
}

// dialGoEarly does not wait for it when a ticket allows early data.
func dialGoEarly(ctx context.Context, addr string, config *tls.Config) (mux, error) {
	conn, err := quic.DialAddrEarly(ctx, addr, config, muxConfig())
	if err != nil {
		return nil, err
	}
	return goMux{conn}, nil
}

// dialGoAt dials with a socket of its own, as migration needs it.
func dialGoAt(t *testing.T) muxDialer {
	return func(ctx context.Context, addr string, config *tls.Config) (mux, error) {
		to, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, err
		}
		conn, err := quicGoAt(t, "127.0.0.1:0").Dial(ctx, to, config, muxConfig())
		if err != nil {
			return nil, err
		}
		return goMux{conn}, nil
	}
}

func (m goMux) open(ctx context.Context, uni bool) (muxStream, error) {
	if uni {
		s, err := m.conn.OpenUniStreamSync(ctx)
		if err != nil {
			return nil, err
		}
		return goUni{s}, nil
	}
	s, err := m.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	return goStream{s}, nil
}

func (m goMux) end(code uint64) { m.conn.CloseWithError(quic.ApplicationErrorCode(code), "") }

func (m goMux) closed(ctx context.Context) (uint64, error) {
	select {
	case <-m.conn.Context().Done():
	case <-ctx.Done():
		return 0, errNotClosed
	}
	err := context.Cause(m.conn.Context())
	var e *quic.ApplicationError
	if errors.As(err, &e) && e.Remote {
		return uint64(e.ErrorCode), nil
	}
	return 0, err
}

func (m goMux) state() tls.ConnectionState { return m.conn.ConnectionState().TLS }

type goStream struct{ *quic.Stream }

func (s goStream) id() int64               { return int64(s.StreamID()) }
func (s goStream) fin()                    { s.Close() }
func (s goStream) reset(code uint64)       { s.CancelWrite(quic.StreamErrorCode(code)) }
func (s goStream) stopReading(code uint64) { s.CancelRead(quic.StreamErrorCode(code)) }

type goUni struct{ *quic.SendStream }

func (s goUni) id() int64                       { return int64(s.StreamID()) }
func (s goUni) fin()                            { s.Close() }
func (s goUni) reset(code uint64)               { s.CancelWrite(quic.StreamErrorCode(code)) }
func (goUni) stopReading(uint64)                {}
func (goUni) Read([]byte) (int, error)          { return 0, errors.ErrUnsupported }
func (goUni) SetReadDeadline(_ time.Time) error { return errors.ErrUnsupported }

// xMux is a connection of x/net/quic.
type xMux struct {
	conn     *xquic.Conn
	endpoint *xquic.Endpoint
}

func dialX(ctx context.Context, addr string, config *tls.Config) (mux, error) {
	e, err := xquic.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		return nil, err
	}
	c := xnetConfig()
	c.TLSConfig = config
	c.MaxStreamReadBufferSize, c.MaxConnReadBufferSize = 512<<10, 4<<20 // one stream does not use up what the connection has
	conn, err := e.Dial(ctx, "udp", addr, c)
	if err != nil {
		go endEndpoint(e)
		return nil, err
	}
	return xMux{conn, e}, nil
}

func (m xMux) open(ctx context.Context, uni bool) (muxStream, error) {
	open := m.conn.NewStream
	if uni {
		open = m.conn.NewSendOnlyStream
	}
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	return xStream{&xnetConn{stream: s, conn: m.conn}}, nil
}

func (m xMux) end(code uint64) {
	m.conn.Abort(&xquic.ConnectionCloseError{Code: code})
	go endEndpoint(m.endpoint)
}

func (m xMux) closed(ctx context.Context) (uint64, error) {
	err := m.conn.Wait(ctx)
	var e *xquic.ConnectionCloseError
	if errors.As(err, &e) {
		return e.Code, nil
	}
	return 0, errors.Join(errNotClosed, err)
}

func (m xMux) state() tls.ConnectionState { return m.conn.ConnectionState() }

type xStream struct{ *xnetConn }

func (s xStream) id() int64               { return s.stream.ID() }
func (s xStream) fin()                    { s.stream.CloseWrite() }
func (s xStream) reset(code uint64)       { s.stream.Reset(code) }
func (s xStream) stopReading(code uint64) { s.stream.StopSending(code) }
