package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

// waitLimit bounds every wait: what takes a moment takes many on a machine that others load.
const waitLimit = time.Minute

// patient is cfg for a loaded machine: nothing that works is cut off because it is slow.
func patient(cfg Config) Config {
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = waitLimit
	}
	if cfg.CloseTimeout == 0 {
		cfg.CloseTimeout = waitLimit
	}
	return cfg
}

// certs makes one certificate for the whole test binary.
var certs = sync.OnceValues(func() (crypto.DevCert, error) {
	dir, err := os.MkdirTemp("", "endpoint-test")
	if err != nil {
		return crypto.DevCert{}, err
	}
	return crypto.GenerateDevCert(dir)
})

func dirOf(file string) string {
	for i := len(file) - 1; i > 0; i-- {
		if file[i] == '/' {
			return file[:i]
		}
	}
	return "."
}

func serverTLS(t testing.TB, alpn ...string) *crypto.Context {
	t.Helper()
	c, err := certs()
	require.NoError(t, err)
	return context_(t, crypto.Config{CertFile: c.CertFile, KeyFile: c.KeyFile, ALPN: orMQTT(alpn)})
}

func clientTLS(t testing.TB, alpn ...string) *crypto.Context {
	t.Helper()
	c, err := certs()
	require.NoError(t, err)
	return context_(t, crypto.Config{Role: crypto.Client, CAFile: c.CAFile, ALPN: orMQTT(alpn)})
}

func orMQTT(alpn []string) []string {
	if len(alpn) == 0 {
		return []string{"mqtt"}
	}
	return alpn
}

func context_(t testing.TB, cfg crypto.Config) *crypto.Context {
	t.Helper()
	ctx, err := crypto.NewContext(cfg)
	require.NoError(t, err)
	t.Cleanup(ctx.Close)
	return ctx
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

// leakCheck fails the test when goroutines or C memory are left at its end. It
// is called first, so that it looks last.
func leakCheck(t testing.TB) {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	bytes, blocks := ngtcp2.HeapBytes(), ngtcp2.HeapBlocks()
	t.Cleanup(func() {
		eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines are left")
		require.Equal(t, bytes, ngtcp2.HeapBytes(), "C memory is left")
		require.Equal(t, blocks, ngtcp2.HeapBlocks(), "C blocks are left")
	})
}

// eventually waits for cond without a goroutine of its own.
func eventually(t testing.TB, cond func() bool, msg string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(waitLimit); !cond(); <-tick.C {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			require.Fail(t, msg, string(stacks[:runtime.Stack(stacks, true)]))
		}
	}
}

// start runs an Endpoint until the end of the test.
func start(t testing.TB, cfg Config) *Endpoint {
	t.Helper()
	e, err := New(patient(cfg))
	require.NoError(t, err)
	require.NoError(t, e.Start())
	t.Cleanup(func() { require.NoError(t, e.Shutdown(within(t))) })
	return e
}

// echoServer is a Listener whose connections echo.
func echoServer(t testing.TB, cfg Config) *Listener {
	t.Helper()
	if cfg.TLS == nil {
		cfg.TLS = serverTLS(t)
	}
	if len(cfg.Addrs) == 0 {
		cfg.Addrs = []string{"127.0.0.1:0"}
	}
	l, err := NewListener(patient(cfg))
	require.NoError(t, err)
	serveEchoes(t, l)
	return l
}

// serveEchoes has the connections of l echo.
func serveEchoes(t testing.TB, l *Listener) {
	t.Helper()
	var served sync.WaitGroup
	served.Go(func() { acceptAll(l, &served) })
	t.Cleanup(func() {
		require.NoError(t, l.Shutdown(within(t)))
		served.Wait()
	})
}

func acceptAll(l net.Listener, served *sync.WaitGroup) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		served.Go(func() {
			_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			_ = c.Close()
		})
	}
}

// dial makes a client StreamConn that is closed at the end of the test.
func dial(t testing.TB, e *Endpoint, addr string) *StreamConn {
	t.Helper()
	c, err := e.DialConn(within(t), addr, DialConfig{TLS: clientTLS(t)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask writes msg and meanwhile reads as many bytes back.
func ask(t testing.TB, c net.Conn, msg []byte) []byte {
	t.Helper()
	got, err := roundTrip(c, msg)
	require.NoError(t, err)
	return got
}

func roundTrip(c net.Conn, msg []byte) ([]byte, error) {
	_ = c.SetDeadline(time.Now().Add(waitLimit))
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(msg)
		wrote <- err
	}()
	got := make([]byte, len(msg))
	_, err := io.ReadFull(c, got)
	if err != nil {
		_ = c.Close()
	}
	return got, errors.Join(err, <-wrote)
}

// closed waits until c's connection has ended.
func closed(t testing.TB, c *StreamConn) {
	t.Helper()
	select {
	case <-c.Closed():
	case <-time.After(waitLimit):
		require.Fail(t, "the connection did not end")
	}
}
