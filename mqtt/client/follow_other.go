//go:build !linux

package client

import "errors"

// watchNetwork does not know how, here.
func watchNetwork() (<-chan struct{}, func(), error) {
	return nil, nil, errors.New("client: changes of the network are watched on Linux only: call Rebind")
}
