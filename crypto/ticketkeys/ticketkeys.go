// Package ticketkeys reads, makes and schedules the keys of TLS session tickets, in a file
// that several servers can share. It needs no OpenSSL.
//
// # File
//
// A line per key: the time from which the key makes tickets (RFC 3339), a space, and 80
// random bytes in base64 (RFC 4648 section 4): 16 that name the key, 32 for AES-256, 32 for
// HMAC-SHA256. Empty lines and those that begin with # count for nothing. The mode is 0600:
// who has a key can read the early data of its time, and be a client whose session it holds.
//
//	# any text
//	2026-11-21T00:00:00Z bmdtcS4uLg...
//	2026-11-22T00:00:00Z QUIuLi4...
//
// # Rotation
//
// A key makes tickets from its time on until that of the next one. Its tickets are accepted
// for [Lifetime] longer, which is how long they are good for. The key after the one in use is
// accepted ahead of its time, for servers whose clocks go fast. So all servers with the same
// file change keys together, and the file has to be copied only before its last key begins.
package ticketkeys

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ngmq/ngmq/crypto/secretfile"
)

const (
	// Lifetime is how long a ticket is good for, and so how long a key is needed after it
	// has made the last one.
	Lifetime = 2 * time.Hour
	// SecretLen is the length of a key in bytes.
	SecretLen = 80
	// MaxActive is how many keys can be in use at a time; older ones are left out.
	MaxActive = 16
	// maxFile bounds what is read, in bytes: 8,000 keys.
	maxFile = 1 << 20
)

// Key is one ticket key.
type Key struct {
	From   time.Time // makes tickets from then on
	Secret []byte    // SecretLen random bytes
}

// Keys are in the order of their times.
type Keys []Key

// Generate makes a random key, to be used from then on.
func Generate(from time.Time) Key {
	k := Key{From: from.UTC().Truncate(time.Second), Secret: make([]byte, SecretLen)}
	_, _ = rand.Read(k.Secret) // never fails
	return k
}

// Parse reads the text of a file. The error names the first line that is wrong, never what
// is in it.
func Parse(text []byte) (Keys, error) {
	var keys Keys
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		k, err := parseLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key")
	}
	slices.SortStableFunc(keys, func(a, b Key) int { return a.From.Compare(b.From) })
	return keys, nil
}

func parseLine(line string) (Key, error) {
	from, secret, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		return Key{}, errors.New("does not begin with a time such as 2026-11-21T00:00:00Z")
	}
	k := Key{From: at.UTC()}
	if k.Secret, err = base64.StdEncoding.DecodeString(strings.TrimSpace(secret)); err != nil || len(k.Secret) != SecretLen {
		return Key{}, fmt.Errorf("has not %d bytes in base64 after the time", SecretLen)
	}
	return k, nil
}

// Read reads a file. One that group or others can open is refused.
func Read(file string) (Keys, error) {
	info, err := os.Stat(file)
	if err == nil {
		err = secretfile.Check(info)
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// Write puts keys in the place of the file, or makes it, in one step and with mode 0600.
func (k Keys) Write(file string) error { return secretfile.Replace(file, k.Text()) }

// Text is what Parse reads.
func (k Keys) Text() []byte {
	b := []byte("# Keys of TLS session tickets: when each begins, and the key. Keep them secret.\n")
	for _, key := range k {
		b = append(b, key.From.Format(time.RFC3339)+" "+base64.StdEncoding.EncodeToString(key.Secret)+"\n"...)
	}
	return b
}

// maker is the index of the key that makes tickets now; of keys that all begin later, the
// first.
func (k Keys) maker(now time.Time) int {
	i, found := slices.BinarySearchFunc(k, now, func(key Key, t time.Time) int { return key.From.Compare(t) })
	for found && i+1 < len(k) && k[i+1].From.Equal(now) {
		i++
	}
	if !found {
		i--
	}
	return max(i, 0)
}

// expired reports whether the tickets of key i are not accepted any more.
func (k Keys) expired(i int, now time.Time) bool {
	return i < k.maker(now) && !k.end(i).After(now)
}

// end is when the last ticket of key i, which has a successor, ends.
func (k Keys) end(i int) time.Time { return k[i+1].From.Add(Lifetime) }

// Active are the secrets to use now, MaxActive at most: the first makes tickets, those of
// the others are accepted. There must be keys.
func (k Keys) Active(now time.Time) [][]byte {
	m := k.maker(now)
	secrets := [][]byte{k[m].Secret}
	if m+1 < len(k) {
		secrets = append(secrets, k[m+1].Secret)
	}
	for i := m - 1; i >= 0 && !k.expired(i, now) && len(secrets) < MaxActive; i-- {
		secrets = append(secrets, k[i].Secret)
	}
	return secrets
}

// Next is when Active will be another one; zero: never.
func (k Keys) Next(now time.Time) (next time.Time) {
	sooner := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i := range k {
		sooner(k[i].From)
		if i < k.maker(now) {
			sooner(k.end(i))
		}
	}
	return next
}

// Extend leaves out the keys that are not needed any more, and adds as many as it takes for
// there to be ahead keys that begin later than now, one every so often.
func (k Keys) Extend(now time.Time, every time.Duration, ahead int) Keys {
	var out Keys
	for i := range k {
		if !k.expired(i, now) {
			out = append(out, k[i])
		}
	}
	if len(out) == 0 {
		out = Keys{Generate(now)}
	}
	later := 0
	for i := range out {
		if out[i].From.After(now) {
			later++
		}
	}
	for ; later < ahead; later++ {
		from := out[len(out)-1].From.Add(every)
		if from.Before(now) { // the last one has been used for too long
			from, later = now, later-1
		}
		out = append(out, Generate(from))
	}
	return out
}

// Cause is err without the path, for messages that name it already.
func Cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
