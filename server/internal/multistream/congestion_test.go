//go:build !noquic

package multistream

import (
	"strings"
	"testing"

	"github.com/ngmq/ngmq/server"
)

func TestCongestionControls(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 1<<20)
	for _, cc := range []server.CongestionControl{server.CongestionCubic, server.CongestionBBR, server.CongestionReno} {
		t.Run(cc.String(), func(t *testing.T) {
			s := start(t, server.Config{CongestionControl: cc})
			c, _ := s.connect(t, "c")
			data := c.stream()
			data.Subscribe("t", 1)
			c.Publish("t", large, 1)
			data.ExpectMessage("t", large)
		})
	}
}
