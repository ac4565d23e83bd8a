package scram

import (
	"encoding/base64"
	"errors"
	"strings"
)

// ErrSyntax says that a message is not one of RFC 5802 section 7, or not at this point.
var ErrSyntax = errors.New("scram: message is not well formed")

// maxMessage is the size of the largest message that is looked at, in bytes.
const maxMessage = 4096

// attribute takes "name=value" off the front of a message.
func attribute(message string, name byte) (value, rest string, err error) {
	field, rest, _ := strings.Cut(message, ",")
	if len(field) < 2 || field[0] != name || field[1] != '=' {
		return "", "", ErrSyntax
	}
	return field[2:], rest, nil
}

// escape makes a user name fit into a message (RFC 5802 section 5.1).
func escape(user string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
}

// unescape reads what escape gives, and nothing else.
func unescape(s string) (string, error) {
	user := strings.NewReplacer("=3D", "=", "=2C", ",").Replace(s)
	if escape(user) != s {
		return "", ErrSyntax
	}
	return user, nil
}

// checkNonce refuses what is not printable ASCII without ','.
func checkNonce(s string) error {
	if s == "" {
		return ErrSyntax
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || s[i] == ',' {
			return ErrSyntax
		}
	}
	return nil
}

func decode(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, ErrSyntax
	}
	return b, nil
}

// xor is a ^ b; they are of one length.
func xor(a, b []byte) []byte {
	c := make([]byte, len(a))
	for i := range c {
		c[i] = a[i] ^ b[i]
	}
	return c
}
