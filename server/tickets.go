package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"slices"
	"time"

	"github.com/ngmq/ngmq/crypto/ticketkeys"
)

const (
	// ticketRotation is how long a ticket key makes tickets when there is no
	// Config.TicketKeysFile. What leaks with a key is what it was used for.
	ticketRotation = 12 * time.Hour
	// ticketCheck is the longest time between two looks at the clock, which may be set.
	ticketCheck = time.Minute
)

// tickets keeps the session ticket keys of the listeners up to date.
type tickets struct {
	watchedFile // none: keys are made here, and kept in memory
	keys        ticketkeys.Keys
	active      [][]byte
	users       []func(secrets [][]byte) error
}

func newTickets(file string, keys ticketkeys.Keys, log *slog.Logger) *tickets {
	t := &tickets{watchedFile: newWatchedFile(file, log), keys: keys}
	now := time.Now()
	if file == "" {
		t.keys = t.keys.Extend(now, ticketRotation, 1)
	}
	t.active = t.keys.Active(now)
	return t
}

// inherited are the keys that others have too, nil without a file.
func (t *tickets) inherited() [][]byte {
	if t.file == "" {
		return nil
	}
	return t.active
}

// add has use called whenever there are other keys, and now.
func (t *tickets) add(use func(secrets [][]byte) error) error {
	t.users = append(t.users, use)
	return use(t.active)
}

// addTLS does that for TLS over TCP, which makes keys of its own without a file.
func (t *tickets) addTLS(c *tls.Config) {
	if c == nil || t.file == "" {
		return
	}
	_ = t.add(func(secrets [][]byte) error { // never fails
		keys := make([][32]byte, len(secrets))
		for i, s := range secrets {
			keys[i] = sha256.Sum256(append([]byte("ngmq TLS over TCP"), s...))
		}
		c.SetSessionTicketKeys(keys)
		return nil
	})
}

// run rotates the keys until ctx ends.
func (t *tickets) run(ctx context.Context) {
	t.watchedFile.run(ctx, func() time.Duration {
		now := time.Now()
		t.step(now)
		return t.pause(now)
	})
}

// pause is the time until the next step.
func (t *tickets) pause(now time.Time) time.Duration {
	wait := ticketCheck
	if t.file != "" {
		wait = t.poll
	}
	if next := t.keys.Next(now); !next.IsZero() {
		wait = min(wait, next.Sub(now))
	}
	return wait
}

// step takes new keys into use.
func (t *tickets) step(now time.Time) {
	if t.file == "" {
		t.keys = t.keys.Extend(now, ticketRotation, 1)
	} else {
		t.look(t.read, "session ticket keys cannot be read; those that there are stay in use")
	}
	active := t.keys.Active(now)
	if slices.EqualFunc(active, t.active, bytes.Equal) {
		return
	}
	t.active = active
	for _, use := range t.users {
		if err := use(active); err != nil {
			t.log.Error("session ticket keys cannot be used", "error", err)
			return
		}
	}
	t.log.Info("session ticket keys have changed", "keys", len(active))
}

func (t *tickets) read() error {
	keys, err := ticketkeys.Read(t.file)
	if err == nil {
		t.keys = keys
	}
	return err
}

// loadTicketKeys reads TicketKeysFile; nil without one.
func (c Config) loadTicketKeys() (ticketkeys.Keys, error) {
	if c.TicketKeysFile == "" {
		return nil, nil
	}
	keys, err := ticketkeys.Read(c.TicketKeysFile)
	if err != nil {
		return nil, &ConfigError{
			Field: "TicketKeysFile", Value: c.TicketKeysFile, Problem: "no usable session ticket keys", Err: ticketkeys.Cause(err),
			Remedy: "make it with ngmqd ticket-keys FILE (ngmqd: --ticket-keys)",
		}
	}
	return keys, nil
}
