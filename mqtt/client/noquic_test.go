//go:build noquic

package client

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestServerOverQUICIsRefused(t *testing.T) {
	_, err := New(Options{Servers: []string{"mqtt://h", "quic://user:secret@h"}})
	assert.ErrorContains(t, err, "quic://h:14567")
	assert.ErrorContains(t, err, "noquic")
	assert.NotContains(t, err.Error(), "secret")
	_, err = Dial(within(t), "quic://127.0.0.1:1", Options{})
	assert.ErrorContains(t, err, "without QUIC")
}
