package netns

import (
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// prefix starts the name of every namespace: scripts/netns.sh removes those.
var prefix = flag.String("prefix", "ngmq-test", "start of the names of the network namespaces")

// Addresses of a network; .1 are the router's.
const (
	serverIP  = "10.77.3.2"
	routerIP  = "10.77.3.1"
	secondIP  = "10.77.3.9" // of the router, for another NAT address
	serverIP6 = "fd77:3::2"
	quicPort  = "14567"
)

// network is three namespaces in a row, see doc.go.
type network struct {
	t                      *testing.T
	client, router, server string
}

// networks counts them, for their names.
var networks int

func newNetwork(t *testing.T) *network {
	t.Helper()
	networks++
	name := func(s string) string { return fmt.Sprintf("%s-%d%s", *prefix, networks, s) }
	n := &network{t: t, client: name("c"), router: name("r"), server: name("s")}
	for _, ns := range []string{n.client, n.router, n.server} {
		command(t, "", "ip", "netns", "add", ns)
		t.Cleanup(func() { command(t, "", "ip", "netns", "del", ns) })
		n.ip(ns, "link set lo up")
	}
	n.wire("up0", n.client, "1")
	n.wire("up1", n.client, "2")
	n.wire("srv", n.server, "3")
	n.ip(n.router, "addr add "+secondIP+"/24 dev srv-r")
	for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		n.run(n.router, "sh", "-c", "echo 1 >/proc/sys/net/"+path)
	}
	n.ip(n.client, "route add default via 10.77.1.1")
	n.ip(n.client, "-6 route add default via fd77:1::1")
	n.ip(n.server, "route add default via "+routerIP)
	n.ip(n.server, "-6 route add default via fd77:3::1")
	n.nft(n.server, "add table inet watch\nadd chain inet watch in { type filter hook input priority 0; }")
	n.nft(n.router, "add table inet path\nadd chain inet path passing { type filter hook forward priority 0; }")
	return n
}

// wire connects dev in ns with dev-r in the router, in subnet net. Datagrams pass
// one by one: a chain of them that the kernel carries as one would be lost as one.
func (n *network) wire(dev, ns, net string) {
	n.ip(n.router, "link add "+dev+"-r type veth peer name "+dev+" netns "+ns)
	for _, end := range []struct{ ns, dev, host string }{{n.router, dev + "-r", "1"}, {ns, dev, "2"}} {
		n.ip(end.ns, "link set "+end.dev+" gso_max_segs 1 up")
		n.ip(end.ns, fmt.Sprintf("addr add 10.77.%s.%s/24 dev %s", net, end.host, end.dev))
		n.ip(end.ns, fmt.Sprintf("-6 addr add fd77:%s::%s/64 dev %s nodad", net, end.host, end.dev))
	}
}

// rate limits both directions of the server's wire with a token bucket.
func (n *network) rate(rate string) {
	for ns, dev := range map[string]string{n.router: "srv-r", n.server: "srv"} {
		n.run(ns, "tc", "qdisc", "add", "dev", dev, "root", "tbf", "rate", rate, "burst", "8kb", "limit", "100kb")
	}
}

// mtu sets the MTU of the wire between router and server.
func (n *network) mtu(bytes int) {
	n.ip(n.router, fmt.Sprintf("link set srv-r mtu %d", bytes))
	n.ip(n.server, fmt.Sprintf("link set srv mtu %d", bytes))
}

// forward adds a rule to what the router passes on, with a counter.
func (n *network) forward(match, verdict string) {
	n.nft(n.router, "add rule inet path passing "+match+" counter "+verdict)
}

// forwardAll removes those rules.
func (n *network) forwardAll() { n.nft(n.router, "flush chain inet path passing") }

// watch counts what reaches the server and matches.
func (n *network) watch(match string) { n.nft(n.server, "add rule inet watch in "+match+" counter") }

var packets = regexp.MustCompile(`counter packets (\d+)`)

// counted is the sum of the counters of the rules of a table.
func (n *network) counted(ns, table string) (sum int) {
	n.t.Helper()
	for _, m := range packets.FindAllStringSubmatch(n.run(ns, "nft", "list", "table", "inet", table), -1) {
		k, err := strconv.Atoi(m[1])
		require.NoError(n.t, err)
		sum += k
	}
	return sum
}

// nat has the router replace the source of what it sends to the server.
func (n *network) nat(to string) {
	n.nft(n.router, `add table inet nat
add chain inet nat post { type nat hook postrouting priority srcnat; }
flush chain inet nat post
add rule inet nat post oifname "srv-r" ip protocol udp snat ip to `+to)
}

// forgetNAT has the router forget its translations: the next packet gets a new one.
func (n *network) forgetNAT() { n.run(n.router, "conntrack", "-F") }

func (n *network) nft(ns, rules string) {
	n.t.Helper()
	command(n.t, rules+"\n", "ip", "netns", "exec", ns, "nft", "-f", "-")
}

func (n *network) ip(ns, args string) {
	n.t.Helper()
	command(n.t, "", "ip", append([]string{"-n", ns}, strings.Fields(args)...)...)
}

func (n *network) run(ns string, args ...string) string {
	n.t.Helper()
	return command(n.t, "", "ip", append([]string{"netns", "exec", ns}, args...)...)
}

func command(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}
