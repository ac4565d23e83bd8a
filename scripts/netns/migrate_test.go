package netns

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// play starts this test binary in ns in a role.
func play(t *testing.T, ns, name string, args ...string) *process {
	t.Helper()
	bin, err := os.Executable()
	require.NoError(t, err)
	return run(t, ns, bin, append([]string{"-role", name}, args...)...)
}

// A client with two uplinks goes to the second one and back, validating each path
// first; then the device of the first one goes down, and it moves at once.
func TestMigration(t *testing.T) {
	n := newNetwork(t)
	dir := t.TempDir()
	at := serverIP + ":" + quicPort
	play(t, n.server, "echo", "-dir", dir, "-addr", at).received(1)
	n.watch("ip saddr 10.77.2.2")
	c := play(t, n.client, "mover", "-dir", dir, "-addr", at)
	c.received(20)
	// The second uplink has a routing table of its own, as with every system that
	// has two.
	n.ip(n.client, "rule add from 10.77.2.2 table 2")
	n.ip(n.client, "route add default via 10.77.2.1 table 2")
	move := func(ip, how string) (packets int) {
		t.Helper()
		_, err := fmt.Fprintln(c.in, ip, how)
		require.NoError(t, err)
		at := c.find(moved + " " + ip)
		before := n.counted(n.server, "watch")
		c.received(at + 40) // blocks of 64 KiB there and back
		return n.counted(n.server, "watch") - before
	}
	assert.Zero(t, n.counted(n.server, "watch"))
	assert.Greater(t, move("10.77.2.2", "validated"), 100)
	assert.Less(t, move("10.77.1.2", "validated"), 100, "no more than what was under way")
	n.ip(n.client, "link set up0 down")
	n.ip(n.client, "route add default via 10.77.2.1")
	c.forget()
	assert.Greater(t, move("10.77.2.2", "immediate"), 100)
	c.finish()
}

// A client of the library goes by itself to where the system routes from: to an uplink
// that is preferred from now on, and away from one whose device goes down.
func TestFollowNetwork(t *testing.T) {
	n := newNetwork(t)
	dir := n.startBroker()
	n.ip(n.client, "rule add from 10.77.2.2 table 2")
	n.ip(n.client, "route add default via 10.77.2.1 table 2")
	n.ip(n.client, "rule add from 10.77.1.2 table 1")
	n.ip(n.client, "route add default via 10.77.1.1 table 1")
	n.watch("ip saddr 10.77.2.2")
	c := play(t, n.client, "follower", "-dir", dir, "-addr", serverIP+":"+quicPort)
	c.received(20)
	assert.Zero(t, n.counted(n.server, "watch"))
	n.ip(n.client, "route replace default via 10.77.2.1")
	require.Eventually(t, func() bool { return n.counted(n.server, "watch") > 20 }, patience, tick, "over the second uplink")
	n.ip(n.client, "route replace default via 10.77.1.1")
	n.ip(n.client, "link set up1 down")
	c.forget()
	c.received(50)
	c.finish()
	assert.Empty(t, c.errors.String())
}
