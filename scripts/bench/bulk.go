package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const (
	// bulkGoal is the least share of the bare C pair's rate that one connection over
	// loopback sockets reaches with an endpoint on both sides.
	bulkGoal = 0.8
	// bulkWindow is the stream and connection window, below the socket buffers, in bytes.
	bulkWindow = 4 << 20
	bulkBlock  = 64 << 10 // bytes, sent again and again without a copy
	bulkAhead  = 4 << 20  // bytes given to a stream that are not acknowledged
)

// bulkSink is the server of a transfer: it counts and gives the credit back.
type bulkSink struct {
	quiet
	total, received int
	done            chan time.Time
}

func (s *bulkSink) OnConn(*endpoint.Conn) endpoint.ConnHandler { return s }

func (s *bulkSink) OnStreamData(st *endpoint.Stream, data []byte, _ bool) {
	st.Consume(len(data))
	if s.received += len(data); s.received == s.total {
		s.done <- time.Now()
	}
}

// bulkSource is the client: it keeps a stream filled.
type bulkSource struct {
	quiet
	block  ngtcp2.Buffer
	stream *endpoint.Stream
	left   int
}

func (s *bulkSource) OnFlush() {
	for s.stream != nil && s.left > 0 && s.stream.Buffered() < bulkAhead {
		n := min(s.left, bulkBlock)
		if s.stream.WriteBuffer(s.block, 0, n) != nil {
			return
		}
		s.left -= n
	}
}

// bulkPair is a client and a server endpoint, each with one worker.
type bulkPair struct {
	m              memory // for its TLS contexts
	sink           *bulkSink
	server, client *endpoint.Endpoint
}

func newBulkPair(total int) (*bulkPair, error) {
	p := &bulkPair{sink: &bulkSink{total: total, done: make(chan time.Time, 1)}}
	err := p.m.makeTLS(classic)
	if err == nil {
		p.server, err = endpoint.New(endpoint.Config{TLS: p.m.serverTLS, Addrs: []string{"127.0.0.1:0"}, Handler: p.sink,
			Workers: 1, StreamWindow: bulkWindow, ConnWindow: bulkWindow})
	}
	if err == nil {
		err = p.server.Start()
	}
	if err == nil {
		p.client, err = endpoint.New(endpoint.Config{Workers: 1})
	}
	if err != nil {
		p.close()
	}
	return p, err
}

func (p *bulkPair) close() {
	ended, end := context.WithCancel(context.Background())
	end() // at once: all has arrived
	for _, e := range []*endpoint.Endpoint{p.client, p.server} {
		if e != nil {
			e.Shutdown(ended)
		}
	}
	p.m.close()
}

// transfer sends everything and gives the time from the first write to the last byte.
func (p *bulkPair) transfer(ctx context.Context) (time.Duration, error) {
	source := &bulkSource{block: ngtcp2.NewBuffer(bulkBlock), left: p.sink.total}
	defer source.block.Release()
	conn, err := p.client.Dial(ctx, p.server.Addrs()[0].String(),
		endpoint.DialConfig{TLS: p.m.clientTLS, ServerName: "localhost", Handler: source})
	if err != nil {
		return 0, err
	}
	start := time.Now()
	failed := make(chan error, 1)
	conn.Post(func() {
		if source.stream, err = conn.OpenUniStream(); err != nil {
			failed <- err
		}
		conn.MarkDirty()
	})
	select {
	case end := <-p.sink.done:
		return end.Sub(start), nil
	case err := <-failed:
		return 0, err
	case <-ctx.Done():
		return 0, fmt.Errorf("%d of %d bytes: %w", p.sink.received, p.sink.total, ctx.Err())
	}
}

// bulkCost is what a transfer took, per MiB.
type bulkCost struct{ wall, cpu float64 } // microseconds

// measureBulk transfers once between two endpoints. The CPU time is of this process.
func measureBulk(ctx context.Context, megabytes int) (bulkCost, error) {
	before, err := generator.ProcessCPU(os.Getpid())
	if err != nil {
		return bulkCost{}, err
	}
	p, err := newBulkPair(megabytes << 20)
	if err != nil {
		return bulkCost{}, err
	}
	took, err := p.transfer(ctx)
	p.close()
	after, cpuErr := generator.ProcessCPU(os.Getpid())
	n := float64(megabytes)
	return bulkCost{generator.Micros(took) / n, generator.Micros(after-before) / n}, errors.Join(err, cpuErr)
}

// bulk is the transfer between two threads in C.
func (p barePeer) bulk(ctx context.Context, megabytes int) (bulkCost, error) {
	figures, err := p.figures(ctx, "--handshakes", "0", "--connections", "0", "--bulk", "0",
		"--sockets", strconv.Itoa(megabytes), "--window", strconv.Itoa(bulkWindow>>10))
	return bulkCost{figures["sockets_wall"], figures["sockets_cpu"]}, err
}

// bulkTurns lets bare and ours take turns: the medians of both, and of their ratios.
func (b *bench) bulkTurns(ctx context.Context) (bare, ours, ratio bulkCost, err error) {
	var walls, cpus [3][]float64
	for range b.rounds {
		c, err := barePeer{b.cbench}.bulk(ctx, b.megabytes)
		if err != nil {
			return bare, ours, ratio, err
		}
		g, err := measureBulk(ctx, b.megabytes)
		if err != nil {
			return bare, ours, ratio, err
		}
		for i, v := range []bulkCost{c, g, {g.wall / c.wall, g.cpu / c.cpu}} {
			walls[i], cpus[i] = append(walls[i], v.wall), append(cpus[i], v.cpu)
		}
	}
	of := func(i int) bulkCost { return bulkCost{generator.Median(walls[i]), generator.Median(cpus[i])} }
	return of(0), of(1), of(2), nil
}

// bulks measures the transfer over one connection.
func (b *bench) bulks(ctx context.Context) error {
	bare, ours, ratio, err := b.bulkTurns(ctx)
	if err != nil {
		return err
	}
	rate := func(c bulkCost) float64 { return 1e6 / c.wall }
	b.report.figure("bulk_bare_rate", rate(bare), "MiB/s")
	b.report.figure("bulk_rate", rate(ours), "MiB/s")
	b.report.figure("bulk_share", 1/ratio.wall, "x")
	b.report.figure("bulk_bare_cpu", bare.cpu, "us/MiB")
	b.report.figure("bulk_cpu", ours.cpu, "us/MiB")
	b.report.figure("bulk_cpu_ratio", ratio.cpu, "x")
	b.report.row(line{what: "bulk, one connection, both ends", value: number(rate(ours)) + " MiB/s",
		peer: number(rate(bare)) + " MiB/s", ratio: fmt.Sprintf("%.2f", 1/ratio.wall), goal: fmt.Sprintf(">= %.1fx", bulkGoal)})
	b.report.row(line{what: "  CPU of both ends, per MiB", value: number(ours.cpu) + " us",
		peer: number(bare.cpu) + " us", ratio: fmt.Sprintf("%.2f", ratio.cpu)})
	return nil
}
