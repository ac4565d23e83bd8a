package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/server"
)

// asServer in the environment names a data directory and makes this program (or its
// test) an embedded server, so that its Go heap can be asked for.
const asServer = "NGMQ_BENCH_SERVER"

// memoryUse is what an embedded server answers, in bytes.
type memoryUse struct {
	GoHeap float64 // live objects, after a collection
	CHeap  float64 // of ngtcp2 and its binding; OpenSSL's is not in it
}

// serve runs a server until in ends or SIGTERM comes. For each line of in it collects
// garbage and prints a memoryUse.
func serve(in io.Reader, out, log io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := server.New(server.Config{
		QUIC: []string{"127.0.0.1:0"}, TCP: []string{server.Off}, TLS: []string{server.Off},
		DataDir: os.Getenv(asServer), AllowAnonymous: true, Logger: slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		fmt.Fprintln(log, err)
		return 1
	}
	go func() {
		defer stop()
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if json.NewEncoder(out).Encode(memoryNow()) != nil {
				return
			}
		}
	}()
	if err := s.Run(ctx); err != nil {
		fmt.Fprintln(log, err)
		return 1
	}
	return 0
}

// memoryNow collects twice: what a pool or a finalizer held goes in the second round.
func memoryNow() memoryUse {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memoryUse{GoHeap: float64(m.HeapAlloc), CHeap: float64(ngtcp2.HeapBytes())}
}
