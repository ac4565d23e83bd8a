package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// resolveLoadBalancer is LoadBalancer with what LoadBalancerKeyFile has; nil without.
func (c Config) resolveLoadBalancer() (*LoadBalancer, error) {
	if c.LoadBalancer == nil {
		if c.LoadBalancerKeyFile == "" {
			return nil, nil
		}
		return nil, &ConfigError{
			Field: "LoadBalancerKeyFile", Value: c.LoadBalancerKeyFile, Problem: "has no effect without LoadBalancer",
			Remedy: "give this server an ID (ngmqd: --quic-lb-server-id), or leave it out (ngmqd: --quic-lb-key-file)",
		}
	}
	if len(c.QUIC) == 0 {
		return nil, withoutQUIC("LoadBalancer", "--quic-lb-server-id")
	}
	form, err := withKey(*c.LoadBalancer, c.LoadBalancerKeyFile)
	if err != nil {
		return nil, &ConfigError{
			Field: "LoadBalancerKeyFile", Value: c.LoadBalancerKeyFile, Problem: "has no key", Err: err,
			Remedy: "make it with openssl rand -hex 16 (ngmqd: --quic-lb-key-file)",
		}
	}
	if err := form.Validate(); err != nil {
		return nil, &ConfigError{
			Field: "LoadBalancer", Value: fmt.Sprintf("server ID %x", form.ServerID), Problem: "not a form of Connection IDs", Err: err,
			Remedy: "use what the load balancer is configured with (ngmqd: --quic-lb-server-id, --quic-lb-config, --quic-lb-nonce, --quic-lb-key-file)",
		}
	}
	return &form, nil
}

// withKey is form with the key of a file, and with the ID that may stand before it.
func withKey(form LoadBalancer, file string) (LoadBalancer, error) {
	if file == "" {
		return form, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return form, err
	}
	fields := strings.Fields(string(text))
	if len(fields) == 2 {
		id, err := strconv.ParseUint(fields[0], 10, 8)
		if err != nil {
			return form, errors.New("the config number before the key is not one from 0 to 6")
		}
		form.ID, fields = uint8(id), fields[1:]
	}
	if len(fields) != 1 {
		return form, errors.New("not one key, with or without a config number before it")
	}
	if form.Key, err = hex.DecodeString(fields[0]); err != nil {
		return form, errors.New("not hexadecimal digits") // without the digits
	}
	return form, nil
}

// rotation takes another key of Config.LoadBalancerKeyFile into use.
type rotation struct {
	watchedFile
	form LoadBalancer
	use  func(LoadBalancer) error
}

// run looks at the file until ctx ends.
func (r *rotation) run(ctx context.Context) {
	if r.file != "" && r.use != nil {
		r.watchedFile.run(ctx, r.step)
	}
}

func (r *rotation) step() (pause time.Duration) {
	r.look(r.read, "the key for load balancers cannot be used; the one that there is stays in use")
	return r.poll
}

func (r *rotation) read() error {
	form, err := withKey(r.form, r.file)
	if err != nil || form.ID == r.form.ID && bytes.Equal(form.Key, r.form.Key) {
		return err
	}
	if err := r.use(form); err != nil {
		return err
	}
	r.form = form
	r.log.Info("the key for load balancers has changed", "file", r.file, "config", form.ID)
	return nil
}
