package congestion

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestControl(t *testing.T) {
	for text, c := range map[string]Control{"cubic": Cubic, "bbr": BBR, "reno": Reno} {
		var back Control
		require.NoError(t, back.UnmarshalText([]byte(text)))
		assert.Equal(t, c, back)
		assert.Equal(t, text, c.String())
		assert.True(t, c.Known())
	}
	assert.False(t, Control(3).Known())
	assert.Equal(t, "CongestionControl(3)", Control(3).String())
	kept := Reno
	assert.ErrorContains(t, kept.UnmarshalText([]byte("vegas")), `["cubic" "bbr" "reno"]`)
	assert.Equal(t, Reno, kept)
}
