//go:build !noquic

package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ngmq/ngmq/crypto/secretfile"
)

const (
	resetSecretFile = "quic-reset.key" // in DataDir
	resetSecretLen  = 32
)

// resetSecret is what stateless reset tokens are made of (RFC 9000 section 10.3). It is
// kept in DataDir, so that a server that comes back after a crash can tell the clients of
// the one before it at their next packet, and they need not wait for a timeout. Without a
// DataDir, or one that cannot be written, it is nil: another one at each start.
func (s *Server) resetSecret() []byte {
	if s.cfg.DataDir == "" {
		return nil
	}
	secret, err := keptSecret(filepath.Join(s.cfg.DataDir, resetSecretFile))
	if err != nil {
		s.log.Warn("after a restart QUIC clients will notice only by timeouts", "error", err,
			"remedy", "make the data directory writable (ngmqd: --data-dir)")
		return nil
	}
	return secret
}

// keptSecret reads the secret, or makes it when there is none.
func keptSecret(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSecret(file); err != nil {
			return nil, err
		}
		info, err = os.Stat(file)
	}
	if err != nil {
		return nil, err
	}
	if err := secretfile.Check(info); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	secret, err := os.ReadFile(file)
	if err == nil && len(secret) != resetSecretLen {
		err = fmt.Errorf("%s has %d bytes, not %d: remove it", file, len(secret), resetSecretLen)
	}
	return secret, err
}

// makeSecret makes the file. One that another process has made meanwhile stays.
func makeSecret(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	secret := make([]byte, resetSecretLen)
	rand.Read(secret)
	if err := secretfile.Make(file, secret); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
