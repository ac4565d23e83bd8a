// Package keylog opens key log files for crypto/tls (tls.Config.KeyLogWriter), with
// the rules that crypto.Config.KeyLogFile has. It is pure Go.
package keylog

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/ngmq/ngmq/crypto/secretfile"
)

// Remedy is what to do about an error of Open.
const Remedy = "name a file that this user alone can read and write (chmod 600)"

// Open opens a file for secrets in the NSS key log format (SSLKEYLOGFILE): it appends,
// and makes a missing file with mode 0600. What is not a regular file, or is open to
// group or others, is refused. Each Write is one append of the system, so several
// writers and processes may share a file. The caller closes it.
func Open(path string) (*os.File, error) {
	// O_NONBLOCK: a named pipe without a reader is refused, not waited for.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = secretfile.Check(info)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, nil
}
