package topic

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxLength is the longest name or filter in bytes [MQTT-4.7.3-3].
const MaxLength = 65535

// What can be wrong with a name or filter.
var (
	ErrEmpty    = errors.New("topic: empty [MQTT-4.7.3-1]")
	ErrTooLong  = errors.New("topic: longer than 65535 bytes [MQTT-4.7.3-3]")
	ErrEncoding = errors.New("topic: not UTF-8, or with U+0000 [MQTT-4.7.3-2]")
	ErrWildcard = errors.New("topic: wildcard in a topic name [MQTT-4.7.0-1]")
	ErrHash     = errors.New("topic: '#' is not a level of its own at the end [MQTT-4.7.1-1]")
	ErrPlus     = errors.New("topic: '+' is not a level of its own [MQTT-4.7.1-2]")
	ErrShare    = errors.New("topic: $share needs a share name without wildcards, a '/' and a filter [MQTT-4.8.2-1] [MQTT-4.8.2-2]")
)

// ValidateName tells what is wrong with a topic name; nil when it is one.
func ValidateName(name string) error {
	if err := validateString(name); err != nil {
		return err
	}
	if strings.ContainsAny(name, "+#") {
		return ErrWildcard
	}
	return nil
}

// ValidateFilter tells what is wrong with a topic filter; nil when it is one. A
// shared subscription must be a valid one.
func ValidateFilter(filter string) error {
	if err := validateString(filter); err != nil {
		return err
	}
	_, filter, err := ParseShare(filter)
	if err != nil {
		return err
	}
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return ErrHash
		case len(level) < 2:
		case strings.Contains(level, "#"):
			return ErrHash
		case strings.Contains(level, "+"):
			return ErrPlus
		}
	}
	return nil
}

func validateString(s string) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > MaxLength:
		return ErrTooLong
	case strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s):
		return ErrEncoding
	}
	return nil
}

const sharePrefix = "$share/"

// ParseShare splits the filter of a shared subscription, "$share/group/filter". For
// every other filter group is empty and rest is the filter itself. It does not
// validate rest.
func ParseShare(filter string) (group, rest string, err error) {
	after, ok := strings.CutPrefix(filter, sharePrefix)
	if !ok {
		return "", filter, nil
	}
	group, rest, ok = strings.Cut(after, "/")
	if !ok || group == "" || rest == "" || strings.ContainsAny(group, "+#") {
		return "", "", ErrShare
	}
	return group, rest, nil
}

// Levels is the number of levels of a name or filter.
func Levels[T string | []byte](s T) int {
	n := 1
	for i := range len(s) {
		if s[i] == '/' {
			n++
		}
	}
	return n
}

// Match reports whether a valid filter, not a shared one, matches a valid name. It
// is for single questions; Tree answers for many filters at once.
func Match(filter, name string) bool {
	if name != "" && name[0] == '$' && filter != "" && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		f, filterRest, filterMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		n, nameRest, nameMore := strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		if !nameMore || !filterMore {
			return nameMore == filterMore || !nameMore && filterRest == "#"
		}
		filter, name = filterRest, nameRest
	}
}
