package quiclb

import (
	"errors"
	"fmt"
)

// Bounds of a Config (section 5 of the draft).
const (
	MaxID          = 6  // 7 is UnroutableID
	UnroutableID   = 7  // config rotation bits of Connection IDs that no load balancer can read
	MinNonceLen    = 4  // bytes
	MaxServerIDLen = 15 // bytes
	KeyLen         = 16 // bytes; AES-128
	maxBlock       = 19 // bytes of server ID and nonce: the Connection ID has at most 20
	singlePass     = 16 // bytes that are encrypted as one block
)

// Config is what servers and load balancer agree upon. All but ServerID is the same at
// all of them.
type Config struct {
	// ID are the config rotation bits, 0 to 6: which of several Configs that a load
	// balancer has a Connection ID was made with.
	ID uint8
	// ServerID is the server's own, 1 to 15 bytes; a load balancer sets any of the same
	// length.
	ServerID []byte
	// NonceLen is the length of the nonce in bytes: at least 4, and with ServerID at
	// most 19. A server with a nonce of n bytes can make 2^(8n) Connection IDs, some
	// five per connection, before those that follow are unroutable (UnroutableID): use 8
	// if a server of long life has many short connections, or restarts often.
	NonceLen int
	// Key, 16 bytes, hides server ID and nonce. Empty: they are sent in the clear.
	Key []byte
}

// Validate returns everything that is wrong with c, joined, each naming field and remedy.
func (c *Config) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("quiclb: Config."+format, args...))
		}
	}
	n := len(c.ServerID)
	bad(c.ID > MaxID, "ID: %d: use 0 to %d", c.ID, MaxID)
	bad(n < 1 || n > MaxServerIDLen, "ServerID: %d bytes: use 1 to %d", n, MaxServerIDLen)
	bad(c.NonceLen < MinNonceLen || n+c.NonceLen > maxBlock,
		"NonceLen: %d: use %d to %d, what a ServerID of %d bytes leaves of %d", c.NonceLen, MinNonceLen, maxBlock-n, n, maxBlock)
	bad(len(c.Key) != 0 && len(c.Key) != KeyLen, "Key: %d bytes: use %d, or none to send server IDs in the clear", len(c.Key), KeyLen)
	return errors.Join(errs...)
}
