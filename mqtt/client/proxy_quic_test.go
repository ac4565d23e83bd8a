//go:build !noquic

package client

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Nothing goes past the proxy.
func TestProxyLeavesQUICOut(t *testing.T) {
	for servers, want := range map[string]string{
		"quic://h mqtts://h": "", "ws://h unix:///s": "",
		"quic://h quic://i": "Fallback",
	} {
		err := (&Options{Servers: strings.Fields(servers), Proxy: "socks5h://h"}).Validate()
		if want == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, want)
		}
	}
	c, err := New(Options{Servers: []string{"quic://h"}, Fallback: true, Proxy: "socks5h://h"})
	require.NoError(t, err)
	assert.Equal(t, []string{"mqtts://h", "wss://h"}, c.opts.Servers)
	c, err = New(Options{Servers: []string{"quic://h", "mqtt://i"}, Proxy: "socks5h://h"})
	require.NoError(t, err)
	assert.Equal(t, []string{"mqtt://i"}, c.opts.Servers)
}
