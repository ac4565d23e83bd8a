//go:build !noquic

package client

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

func TestCongestionControl(t *testing.T) {
	for text, want := range map[string]ngtcp2.CongestionControl{"cubic": ngtcp2.CCCubic, "bbr": ngtcp2.CCBBR, "reno": ngtcp2.CCReno} {
		var cc CongestionControl
		require.NoError(t, cc.UnmarshalText([]byte(text)))
		assert.Equal(t, text, cc.String())
		o := Options{CongestionControl: cc, Servers: []string{"quic://h"}}
		require.NoError(t, o.Validate())
		settings := ngtcp2.DefaultSettings()
		(&dialer{Options: &o}).settings(&settings)
		assert.Equal(t, want, settings.CCAlgo, text)
	}
	assert.ErrorContains(t, (&Options{CongestionControl: 3}).Validate(), "Options.CongestionControl 3")
	bad := Dialer{CongestionControl: 3}
	_, err := bad.Dial(within(t), "quic://h")
	assert.ErrorContains(t, err, "CongestionControl")
}
