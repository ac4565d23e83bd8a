package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/client"
)

// More retained messages are deleted than may be unacknowledged: what the broker sends first
// are the rest of them, and the acknowledgements come behind.
func TestSubRemovesManyRetained(t *testing.T) {
	b := startServer(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	url := "mqtt://" + b.addrs.TCP[0].String()
	c, err := client.Dial(ctx, url, client.Options{})
	require.NoError(t, err)
	defer c.Close()
	const many = 4000
	for i := range many {
		_, err := c.Publish(ctx, client.Message{Topic: fmt.Sprint("r/", i), Payload: []byte("x"), Retain: true})
		require.NoError(t, err)
	}
	_, err = c.Publish(ctx, client.Message{Topic: "last", QoS: 1})
	require.NoError(t, err)
	got := ngmq(ctx, "", "sub", "--url", url, "-t", "r/+", "--remove-retained", "-C", fmt.Sprint(many), "-F", "%r")
	assert.Zero(t, got.status, got.stderr)
	assert.NoError(t, ctx.Err(), "it ended by itself")
	left := ngmq(ctx, "", "sub", "--url", url, "-t", "r/+", "-W", "0.2")
	assert.Equal(t, exitTimeout, left.status)
	assert.Empty(t, left.stdout)
}
