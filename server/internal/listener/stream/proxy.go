package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// PROXY protocol, versions 1 and 2 (HAProxy, proxy-protocol.txt). The header is read
// to its last byte and no further, so that what follows is the connection's own.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyHead      = len(proxySignature) // 12 bytes: of either version there are more
	maxProxyV1     = 107                 // longest line of version 1 (section 2.1)
	maxProxyV2     = 2 << 10             // addresses and TLVs: TLS details of a proxy fit
)

// endpoints are the two ends of a connection; not valid when the proxy does not know
// them, or is the client itself.
type endpoints struct{ remote, local netip.AddrPort }

// readProxyHeader reads the header that must come first.
func readProxyHeader(r io.Reader) (endpoints, error) {
	head := make([]byte, proxyHead, maxProxyV1)
	if _, err := io.ReadFull(r, head); err != nil {
		return endpoints{}, err
	}
	switch {
	case string(head) == proxySignature:
		return readProxyV2(r)
	case bytes.HasPrefix(head, []byte("PROXY ")):
		return readProxyV1(r, head)
	}
	return endpoints{}, errors.New("no PROXY protocol header")
}

// readProxyV1 reads the rest of the line (section 2.1).
func readProxyV1(r io.Reader, line []byte) (endpoints, error) {
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxProxyV1 {
			return endpoints{}, errors.New("PROXY line without an end")
		}
		line = line[:len(line)+1]
		if _, err := io.ReadFull(r, line[len(line)-1:]); err != nil {
			return endpoints{}, err
		}
	}
	fields := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if fields[1] == "UNKNOWN" {
		return endpoints{}, nil
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return endpoints{}, fmt.Errorf("PROXY line %q", line)
	}
	remote, err := parseEnd(fields[2], fields[4], fields[1] == "TCP4")
	local, err2 := parseEnd(fields[3], fields[5], fields[1] == "TCP4")
	if err = errors.Join(err, err2); err != nil {
		return endpoints{}, fmt.Errorf("PROXY line %q: %w", line, err)
	}
	return endpoints{remote, local}, nil
}

func parseEnd(ip, port string, v4 bool) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort("[" + ip + "]:" + port)
	if v4 {
		addr, err = netip.ParseAddrPort(ip + ":" + port)
	}
	if err == nil && addr.Addr().Is4() != v4 {
		err = errors.New("address of another family")
	}
	return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port()), err
}

// readProxyV2 reads what follows the signature (section 2.2).
func readProxyV2(r io.Reader) (endpoints, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return endpoints{}, err
	}
	command, family, size := head[0]&0x0F, head[1], int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || command > 1 || size > maxProxyV2 {
		return endpoints{}, fmt.Errorf("PROXY header %x is none of version 2, or longer than %d bytes", head, maxProxyV2)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return endpoints{}, err
	}
	if command == 0 { // LOCAL: the proxy's own connection
		return endpoints{}, nil
	}
	switch {
	case family == 0x11 && size >= 12: // TCP over IPv4
		return binaryEnds(b, 4), nil
	case family == 0x21 && size >= 36: // TCP over IPv6
		return binaryEnds(b, 16), nil
	case family == 0x11 || family == 0x21:
		return endpoints{}, errors.New("PROXY header is too short for its addresses")
	}
	return endpoints{}, nil // a Unix socket, or nothing that is known
}

// binaryEnds reads source and destination, then both ports; n is the size of an address.
func binaryEnds(b []byte, n int) endpoints {
	remote, _ := netip.AddrFromSlice(b[:n])
	local, _ := netip.AddrFromSlice(b[n : 2*n])
	port := func(at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
	return endpoints{netip.AddrPortFrom(remote.Unmap(), port(2*n)), netip.AddrPortFrom(local.Unmap(), port(2*n+2))}
}
