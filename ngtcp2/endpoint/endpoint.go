package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
	"github.com/ngmq/ngmq/ngtcp2/quiclb"
)

// Endpoint is a set of workers: a server, a client, or both. All methods may be
// called from any goroutine.
type Endpoint struct {
	cfg     Config
	shared  shared
	workers []*worker
	addrs   []net.Addr

	mu       sync.Mutex
	form     *quiclb.Config // of Connection IDs now; nil without Config.LoadBalancer
	started  bool
	ending   bool
	sockets  []*udp.Socket // all
	clients  []*udp.Socket // per worker: the socket of outgoing connections
	refused  uint64        // SendRefused of sockets that are closed
	blocking int64         // its part of blockers

	runs  sync.WaitGroup // worker.run
	reads sync.WaitGroup // worker.read
	cut   sync.Once
	quit  chan struct{} // closed: workers end at once
	done  chan struct{} // closed: everything has ended
}

// New makes an Endpoint and opens its sockets, so that an address in use is an
// error here and Addrs is known. Nothing is received before Start or Run. The
// caller ends it with Shutdown, started or not.
func New(cfg Config) (*Endpoint, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Endpoint{cfg: cfg.withDefaults(), quit: make(chan struct{}),
		done: make(chan struct{})}
	if err := e.cfg.makeServers(); err != nil {
		return nil, err
	}
	e.form = e.cfg.LoadBalancer
	e.shared.done = e.done
	e.shared.recorder = newRecorder(&e.cfg)
	for i := range e.cfg.Workers {
		e.workers = append(e.workers, e.newWorker(i))
	}
	for _, w := range e.workers {
		w.peers = e.workers
	}
	e.clients = make([]*udp.Socket, len(e.workers))
	if err := e.listen(); err != nil {
		e.release()
		return nil, err
	}
	return e, nil
}

func (e *Endpoint) newWorker(i int) *worker {
	w := newWorker(newCore(&e.cfg, i, &e.shared), e.quit)
	w.core.openLocal = func(local, remote netip.AddrPort) (netip.AddrPort, error) {
		return e.openLocal(w, local, remote)
	}
	w.closeSocket = e.dropSocket
	return w
}

// listen opens one socket per worker and address, or one for dialing.
func (e *Endpoint) listen() error {
	for _, addr := range e.cfg.Addrs {
		if err := e.listenOn(addr); err != nil {
			return fmt.Errorf("endpoint: Config.Addrs: %s: %w", addr, err)
		}
	}
	if len(e.cfg.Addrs) > 0 {
		return e.listenPreferred()
	}
	s, err := e.clientSocket(e.workers[0])
	if err == nil {
		e.addrs = append(e.addrs, udpAddr(s.LocalAddr()))
	}
	return err
}

func (e *Endpoint) listenOn(addr string) error {
	first, err := e.open(udp.Config{Addr: addr})
	if err != nil {
		return err
	}
	e.workers[0].sockets = append(e.workers[0].sockets, first)
	e.addrs = append(e.addrs, udpAddr(first.LocalAddr()))
	if len(e.workers) == 1 {
		return nil
	}
	if err := first.Share(); err != nil {
		return err
	}
	for _, w := range e.workers[1:] {
		s, err := e.open(udp.Config{Addr: first.LocalAddr().String(), ReusePort: true})
		if err != nil {
			return err
		}
		w.sockets = append(w.sockets, s)
	}
	return nil
}

// open opens a socket; one for dialing gets small batches, as a process may
// have many client Endpoints.
func (e *Endpoint) open(cfg udp.Config) (*udp.Socket, error) {
	if len(e.cfg.Addrs) == 0 {
		cfg.Slots = clientSlots
	}
	cfg.ReceiveBuffer, cfg.SendBuffer = e.cfg.ReceiveBuffer, e.cfg.SendBuffer
	cfg.NoGRO, cfg.NoGSO = e.cfg.NoGRO, e.cfg.NoGSO
	s, err := udp.Listen(cfg)
	if err == nil {
		e.sockets = append(e.sockets, s)
	}
	return s, err
}

// openAny opens a socket at a port of the system's choice: at Config.LocalAddr, or dual
// stack where the system has IPv6.
func (e *Endpoint) openAny() (*udp.Socket, error) {
	if a := e.cfg.LocalAddr; a.IsValid() {
		return e.open(udp.Config{Addr: netip.AddrPortFrom(a, 0).String(), Errors: true})
	}
	if s, err := e.open(udp.Config{Addr: "[::]:0", Errors: true}); err == nil {
		return s, nil
	}
	return e.open(udp.Config{Addr: "0.0.0.0:0", Errors: true})
}

// clientSocket is w's socket for outgoing connections, opened when first needed.
// Before Start or under mu.
func (e *Endpoint) clientSocket(w *worker) (*udp.Socket, error) {
	if s := e.clients[w.core.worker]; s != nil {
		return s, nil
	}
	s, err := e.openAny()
	if err != nil {
		return nil, fmt.Errorf("endpoint: socket for dialing: %w", err)
	}
	e.clients[w.core.worker] = s
	if !e.started {
		w.sockets = append(w.sockets, s)
		return s, nil
	}
	w.core.inbox.post(func() { w.sockets = append(w.sockets, s) })
	e.startReader(w, s)
	return s, nil
}

// Start starts the goroutines. Calling it again does nothing; after Shutdown it
// returns ErrClosed.
func (e *Endpoint) Start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ending {
		return ErrClosed
	}
	if e.started {
		return nil
	}
	e.started = true
	e.block()
	for _, w := range e.workers {
		for _, s := range w.sockets {
			e.startReader(w, s)
		}
	}
	for _, w := range e.workers {
		e.runs.Go(w.run)
	}
	return nil
}

// blockers is how many readers of this process wait in system calls.
var blockers atomic.Int64

// block lets the readers of a server wait in system calls, and see to the timer and the
// inbox of their workers. Each keeps a P of Go's scheduler meanwhile. When there is no
// other, the scheduler takes it away after 20 us, which costs more than its own way of
// waiting.
func (e *Endpoint) block() {
	n := int64(len(e.workers))
	if len(e.cfg.Addrs) == 0 || slices.ContainsFunc(e.workers, func(w *worker) bool { return len(w.sockets) != 1 }) {
		return
	}
	if blockers.Add(n) >= int64(runtime.GOMAXPROCS(0)) {
		blockers.Add(-n)
		return
	}
	e.blocking = n
	for _, w := range e.workers {
		if w.sockets[0].Block() == nil {
			w.core.inbox.reader.Store(w.sockets[0])
		}
	}
}

func (e *Endpoint) startReader(w *worker, s *udp.Socket) {
	e.reads.Go(func() { w.read(s) })
}

// Run starts the Endpoint, waits until ctx ends and shuts down, which takes at
// most CloseTimeout.
func (e *Endpoint) Run(ctx context.Context) error {
	if err := e.Start(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-e.done:
		return nil
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.CloseTimeout)
	defer cancel()
	return e.Shutdown(end)
}

// Shutdown ends the Endpoint: new connections are dropped; all others close
// gracefully with application code 0, unless they are closing already. It
// returns when everything has ended, which takes at most CloseTimeout. When ctx
// ends first the rest gets CONNECTION_CLOSE at once and ctx's error is returned.
// It may be called several times.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	if !e.ending {
		e.ending = true
		go e.end()
	}
	e.mu.Unlock()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	e.cut.Do(func() { close(e.quit) })
	<-e.done
	return ctx.Err()
}

// end waits for the workers and releases everything.
func (e *Endpoint) end() {
	for _, w := range e.workers {
		w.core.inbox.post(w.core.Shutdown)
	}
	e.runs.Wait()
	e.release()
}

// release closes sockets and frees Cores. No worker runs any more.
func (e *Endpoint) release() {
	for _, s := range e.sockets {
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			e.cfg.Logger.Warn("endpoint: closing a socket", "err", err)
		}
	}
	e.reads.Wait()
	blockers.Add(-e.blocking)
	for _, w := range e.workers {
		w.core.Free()
	}
	e.shared.recorder.stop()
	close(e.done)
}

// Done is closed when the Endpoint has ended.
func (e *Endpoint) Done() <-chan struct{} { return e.done }

// Addrs are the addresses that are listened on, in the order of Config.Addrs, then
// those of Config.PreferredAddrs that needed a socket of their own; of
// a client, the address of the first worker's socket.
func (e *Endpoint) Addrs() []net.Addr { return e.addrs }

// Stats is a snapshot.
func (e *Endpoint) Stats() Stats {
	var s Stats
	for _, w := range e.workers {
		w.core.stats.addTo(&s)
	}
	e.addShared(&s)
	return s
}

// addShared adds what belongs to no worker.
func (e *Endpoint) addShared(s *Stats) {
	e.shared.addTo(s)
	e.mu.Lock()
	defer e.mu.Unlock()
	s.SendRefused = e.refused
	for _, sock := range e.sockets {
		s.SendRefused += sock.Refused()
	}
}
