package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/ngmq/ngmq/crypto/ticketkeys"
)

// ticketKeys is the command that makes and extends the file of --ticket-keys.
type ticketKeys struct {
	File  string        `arg:"" help:"File to make, or to extend."`
	Every time.Duration `env:"-" placeholder:"TIME" default:"24h" help:"How long each key makes tickets. Default: ${default}."`
	Ahead int           `env:"-" placeholder:"N" default:"7" help:"How many keys there are to be for later. Default: ${default}."`
}

// Limits of the flags.
const (
	minTicketRotation = 10 * time.Minute // more than ticketkeys.MaxActive keys would be in use
	maxTicketKeys     = 1000             // for later
)

// Run implements the ticket-keys command.
func (c *ticketKeys) Run(stdout io.Writer) error {
	if c.Every < minTicketRotation || c.Ahead < 0 || c.Ahead > maxTicketKeys {
		return fmt.Errorf("--every is at least %s, --ahead 0 to %d", minTicketRotation, maxTicketKeys)
	}
	keys, err := ticketkeys.Read(c.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", c.File, ticketkeys.Cause(err))
	}
	now := time.Now()
	keys = keys.Extend(now, c.Every, c.Ahead)
	if err := keys.Write(c.File); err != nil {
		return fmt.Errorf("%s: %w", c.File, ticketkeys.Cause(err))
	}
	last := keys[len(keys)-1].From
	_, err = fmt.Fprintf(stdout, "%d keys; the last one begins %s. Run this again before %s, and copy the file to all servers that share it.\n",
		len(keys), last.Format(time.RFC3339), last.Add(c.Every).Format(time.RFC3339))
	return err
}
