//go:build unix

package stream

import "syscall"

// makePrivate gives a socket the mode that its file will have. Where the system knows no
// such thing it fails, and the file has the mode of the umask for a moment.
func makePrivate(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) }
