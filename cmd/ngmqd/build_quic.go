//go:build !noquic

package main

import (
	"fmt"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

// libraries are the versions of the native libraries, a line each.
func libraries() string {
	return fmt.Sprintf("ngtcp2 %s\n%s", ngtcp2.Version(), crypto.OpenSSLVersion())
}

// nativeHeap is the memory of QUIC connections, in bytes.
func nativeHeap() int64 { return ngtcp2.HeapBytes() }
