package packet

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// Eight bytes are looked at in one step: a byte that is zero, or equal to a
// wildcard, sets the top bit of its lane in (x-ones)&^x.
const (
	ones   = 0x0101010101010101
	tops   = 0x80 * ones
	pluses = '+' * ones
	hashes = '#' * ones
)

// validString reports whether b is well-formed UTF-8, without surrogates
// [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2]. U+FEFF is a character like any
// other [MQTT-1.5.4-3].
func validString(b []byte) bool {
	rest := b
	for len(rest) >= 8 {
		x := binary.LittleEndian.Uint64(rest)
		if (x|(x-ones)&^x)&tops != 0 {
			return validStringSlow(b)
		}
		rest = rest[8:]
	}
	for _, c := range rest {
		if c == 0 || c >= 0x80 {
			return validStringSlow(b)
		}
	}
	return true
}

func validStringSlow(b []byte) bool {
	return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b)
}

// hasWildcard reports whether b holds one of the wildcards of topic filters.
func hasWildcard(b []byte) bool {
	return bytes.IndexByte(b, '+') >= 0 || bytes.IndexByte(b, '#') >= 0
}

// plainTopic reports whether b is ASCII without U+0000 and without wildcards, so
// that nearly every topic needs one pass only. false means: look closer.
func plainTopic(b []byte) bool {
	if len(b) >= 8 {
		last := b[len(b)-8:]
		for ; len(b) > 8; b = b[8:] {
			if special(binary.LittleEndian.Uint64(b)) {
				return false
			}
		}
		return !special(binary.LittleEndian.Uint64(last))
	}
	for _, c := range b {
		if c == 0 || c >= 0x80 || c == '+' || c == '#' {
			return false
		}
	}
	return true
}

// special reports whether one of the eight bytes of x is zero, a wildcard or not
// ASCII.
func special(x uint64) bool {
	p, h := x^pluses, x^hashes
	return (x|(x-ones)&^x|(p-ones)&^p|(h-ones)&^h)&tops != 0
}

// checkTopicName refuses what is no topic name: bad UTF-8 and wildcards
// [MQTT-3.3.2-2] [MQTT-4.7.0-1]. An empty name passes.
func checkTopicName(b []byte) *Error {
	switch {
	case plainTopic(b):
		return nil
	case !validString(b):
		return malformed("topic name: " + reasonUTF8)
	case hasWildcard(b):
		return &Error{Code: TopicNameInvalid, Reason: "wildcard in a topic name [MQTT-3.3.2-2] [MQTT-4.7.0-1]"}
	}
	return nil
}
