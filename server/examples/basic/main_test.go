//go:build !noquic

package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server"
)

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it starts, serves and stops
	any := []string{"127.0.0.1:0"}
	require.NoError(t, run(ctx, server.Config{QUIC: any, TCP: any}))
}
