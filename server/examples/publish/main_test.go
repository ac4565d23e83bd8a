package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func TestPublishTime(t *testing.T) {
	s, err := server.New(server.Config{QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	go publishTime(ctx, s, time.Millisecond)

	conn, err := net.Dial("tcp", s.Addrs().TCP[0].String())
	require.NoError(t, err)
	c := mqtttest.New(t, conn, packet.V50)
	c.ConnectAs("watch")
	c.Subscribe("time", 0)
	for range 3 {
		_, err := time.Parse(time.RFC3339, string(c.Receive().Payload))
		require.NoError(t, err)
	}
	conn.Close()
	cancel()
	require.NoError(t, <-ended)
}
