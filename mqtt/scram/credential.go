package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Method is the name of the mechanism, in MQTT the Authentication Method.
const Method = "SCRAM-SHA-256"

// Numbers of iterations of PBKDF2: work for who guesses passwords, and for each client
// that connects.
const (
	// DefaultIterations is what NewCredential takes for 0: about 2 ms on a server's core.
	DefaultIterations = 10_000
	// MinIterations is the least that RFC 7677 section 4 allows.
	MinIterations = 4096
	// MaxIterations is the most that Client does for a server that asks for it, so that a
	// false server cannot keep it busy.
	MaxIterations = 1_000_000
)

// saltSize is the size of new salts in bytes.
const saltSize = 16

// Credential is what a server keeps of a password. Who gets it cannot act as the client
// before having guessed the password, but can act as the server.
type Credential struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// NewCredential derives a Credential from a password with a new salt. iterations is
// MinIterations or more, 0 means DefaultIterations. The password must be UTF-8 without
// control characters, and not empty.
func NewCredential(password string, iterations int) (Credential, error) {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	if iterations < MinIterations {
		return Credential{}, fmt.Errorf("scram: %d iterations: use %d or more", iterations, MinIterations)
	}
	if err := checkText("password", password); err != nil {
		return Credential{}, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	keys, err := derive(password, salt, iterations)
	return Credential{Salt: salt, Iterations: iterations, StoredKey: keys.stored, ServerKey: keys.server}, err
}

// keys are what RFC 5802 section 3 derives from a password.
type keys struct{ client, stored, server []byte }

func derive(password string, salt []byte, iterations int) (keys, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return keys{}, fmt.Errorf("scram: %w", err)
	}
	client := mac(salted, "Client Key")
	stored := sha256.Sum256(client)
	return keys{client: client, stored: stored[:], server: mac(salted, "Server Key")}, nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// checkText refuses what cannot be a user name or password.
func checkText(what, s string) error {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("scram: the %s is empty, is not UTF-8 or has control characters", what)
	}
	return nil
}

// String is the form in which PostgreSQL keeps credentials too:
//
//	SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey
//
// with base64. It is as secret as the Credential.
func (c Credential) String() string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", Method, c.Iterations, b64(c.Salt), b64(c.StoredKey), b64(c.ServerKey))
}

// ParseCredential reads what String gives.
func ParseCredential(s string) (c Credential, err error) {
	bad := errors.New("scram: credential is not SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")
	method, rest, _ := strings.Cut(s, "$")
	first, second, ok := strings.Cut(rest, "$")
	iterations, salt, ok1 := strings.Cut(first, ":")
	stored, server, ok2 := strings.Cut(second, ":")
	if method != Method || !ok || !ok1 || !ok2 {
		return c, bad
	}
	decode := func(s string) []byte {
		b, e := base64.StdEncoding.DecodeString(s)
		err = errors.Join(err, e)
		return b
	}
	n, e := strconv.Atoi(iterations)
	c = Credential{Salt: decode(salt), Iterations: n, StoredKey: decode(stored), ServerKey: decode(server)}
	if err != nil || e != nil || n < MinIterations || len(c.Salt) == 0 || len(c.StoredKey) != sha256.Size || len(c.ServerKey) != sha256.Size {
		return Credential{}, bad
	}
	return c, nil
}

// Store finds credentials. It may be called by many goroutines at once.
type Store interface {
	// Lookup gives the credential of a user; ok is false for one who is not known. It
	// must not block for long: the server calls it on the goroutine of a connection.
	Lookup(user string) (c Credential, ok bool)
}

// Users is a Store in memory, by user name. It must not change while it is used.
type Users map[string]Credential

// Lookup implements Store.
func (u Users) Lookup(user string) (Credential, bool) {
	c, ok := u[user]
	return c, ok
}
