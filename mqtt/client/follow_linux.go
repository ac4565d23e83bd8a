package client

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watchNetwork tells of changes of addresses, links and routes (rtnetlink).
func watchNetwork() (changes <-chan struct{}, stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("client: rtnetlink: %w", err)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("client: rtnetlink: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rtnetlink")
	events := make(chan struct{}, 1)
	go func() {
		b := make([]byte, 8<<10)
		for {
			if _, err := f.Read(b); err != nil && !errors.Is(err, unix.ENOBUFS) { // events were lost: that is one
				return
			}
			select {
			case events <- struct{}{}:
			default:
			}
		}
	}()
	return events, func() { f.Close() }, nil
}
