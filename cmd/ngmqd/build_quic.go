//go:build !noquic

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/server"
)

// libraries are the versions of the native libraries, a line each.
func libraries() string {
	return fmt.Sprintf("ngtcp2 %s\n%s", ngtcp2.Version(), crypto.OpenSSLVersion())
}

// nativeHeap is the memory of QUIC connections, in bytes.
func nativeHeap() int64 { return ngtcp2.HeapBytes() }

// quicWorkers is the number of QUIC event loops, one per processor. They wait in system
// calls if there is one P more (endpoint.Config.Workers), which is cheaper; done takes it
// back. Who sets GOMAXPROCS has decided otherwise.
func quicWorkers(addrs []string) (n int, done func()) {
	n = runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") != "" || slices.Contains(addrs, server.Off) {
		return n, func() {}
	}
	runtime.GOMAXPROCS(n + 1)
	return n, runtime.SetDefaultGOMAXPROCS
}
