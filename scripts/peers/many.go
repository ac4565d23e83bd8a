package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const (
	gb = 1 << 30 // bytes
	// leakRSS is how much more memory the server may have when all connections have been made
	// a second time: a Go heap may grow by what has not been collected. What leaks
	// connections doubles.
	leakRSS = 1.25
	// filesTime is how long a server may take to close what its clients have closed.
	filesTime = 5 * time.Second
)

// many is row 5: connections come up, are idle, ping and go, twice. File descriptors must be
// as many after that as before, and memory must not have grown the second time.
func (b *bench) many(ctx context.Context, s *server) ([]float64, error) {
	empty, err := generator.ResidentBytes(s.PID())
	if err != nil {
		return nil, err
	}
	files, err := openFiles(s.PID())
	if err != nil {
		return nil, err
	}
	first, err := b.comeAndGo(ctx, s)
	if err != nil {
		return nil, err
	}
	second, err := b.comeAndGo(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := filesClosed(s.PID(), files); err != nil {
		return nil, err
	}
	if second.full-empty > leakRSS*(first.full-empty)+leakSlack {
		return nil, fmt.Errorf("memory leaked: RSS was %.0f, then %.0f bytes with %d connections", first.full, second.full, b.sizes.many)
	}
	return []float64{first.full / gb, (first.full - empty) / 1024 / float64(b.sizes.many), first.ping,
		first.rate, second.full / gb, second.empty / gb}, nil
}

// leakSlack keeps a run of few connections from finding leaks, in bytes.
const leakSlack = 8 << 20

// cycle is what became of the server when many came and went.
type cycle struct {
	full, empty float64 // RSS in bytes, with all connections and without
	ping        float64 // us of CPU
	rate        float64 // connections a second
}

func (b *bench) comeAndGo(ctx context.Context, s *server) (c cycle, err error) {
	f, err := newFleet(s, nil)
	if err != nil {
		return c, err
	}
	defer f.close()
	start := time.Now()
	clients, err := f.connect(ctx, b.sizes.many)
	if err != nil {
		return c, err
	}
	c.rate = float64(len(clients)) / time.Since(start).Seconds()
	time.Sleep(b.quiet)
	if c.full, err = generator.ResidentBytes(s.PID()); err != nil {
		return c, err
	}
	if c.ping, err = pingCPU(ctx, s, clients); err != nil {
		return c, err
	}
	f.close()
	time.Sleep(b.quiet)
	c.empty, err = generator.ResidentBytes(s.PID())
	return c, err
}

// filesClosed waits until the process has no more file descriptors than want.
func filesClosed(pid, want int) error {
	for start := time.Now(); ; time.Sleep(settle) {
		have, err := openFiles(pid)
		switch {
		case err != nil:
			return err
		case have <= want:
			return nil
		case time.Since(start) > filesTime:
			return fmt.Errorf("file descriptors leaked: %d before, %d after", want, have)
		}
	}
}

func openFiles(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}
