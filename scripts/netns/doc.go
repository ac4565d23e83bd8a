// Package netns runs bin/ngmqd and bin/ngmq on real sockets, in network namespaces
// of their own (Linux, as root):
//
//	client ns            router ns                          server ns
//	up0 10.77.1.2 ------ 10.77.1.1  nft: loss, NAT, ...
//	up1 10.77.2.2 ------ 10.77.2.1  10.77.3.1 (.9) -------- 10.77.3.2  ngmqd
//
// A publisher and a subscriber run in the client's namespace, so that data crosses
// the router in both directions, with QoS 1 and counted. The path is changed under
// them: loss by nft, rate by tbf, NAT rebinding, MTU, uplinks. For migration the
// test binary plays both ends with package endpoint (-role).
//
// For latencies under loss beside TCP a relay between TUN devices is the path: it takes time
// without tc netem, which not every kernel has.
//
// scripts/netns.sh runs the tests, says why when it can not, and removes the
// namespaces in any case.
package netns
