package udp

import (
	"net"
	"net/netip"
)

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Source is the local address from which the system would reach remote now.
// No datagram is sent.
func Source(remote netip.AddrPort) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return netip.Addr{}, err
	}
	a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return a, c.Close()
}
