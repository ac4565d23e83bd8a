package topic

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestValidateName(t *testing.T) {
	tests := []struct {
		id, name string
		want     error
	}{
		{"plain", "sport/tennis", nil},
		{"spaces and case", "Accounts Payable/ x", nil},
		{"slash alone", "/", nil},
		{"dollar", "$SYS/x", nil},
		{"MQTT-1.5.4-3 U+FEFF is a character", "\ufeffa", nil},
		{"MQTT-4.7.3-1 empty", "", ErrEmpty},
		{"MQTT-4.7.3-2 NUL", "a\x00b", ErrEncoding},
		{"MQTT-1.5.4-1 bad UTF-8", "a\xff", ErrEncoding},
		{"MQTT-1.5.4-1 surrogate", "a\xed\xa0\x80", ErrEncoding},
		{"MQTT-4.7.3-3 longest", strings.Repeat("a", 65535), nil},
		{"MQTT-4.7.3-3 too long", strings.Repeat("a", 65536), ErrTooLong},
		{"MQTT-4.7.0-1 plus", "a/+/b", ErrWildcard},
		{"MQTT-4.7.0-1 hash", "a/#", ErrWildcard},
		{"MQTT-4.7.0-1 inside a level", "a/b+", ErrWildcard},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) { assert.ErrorIs(t, ValidateName(tt.name), tt.want) })
	}
}

func TestValidateFilter(t *testing.T) {
	tests := []struct {
		id, filter string
		want       error
	}{
		{"plain", "sport/tennis", nil},
		{"hash alone", "#", nil},
		{"hash at the end", "sport/#", nil},
		{"plus alone", "+", nil},
		{"plus everywhere", "+/tennis/+", nil},
		{"plus and hash", "+/#", nil},
		{"empty levels", "//", nil},
		{"empty level and plus", "/+", nil},
		{"MQTT-4.7.1-1 sport/tennis#", "sport/tennis#", ErrHash},
		{"MQTT-4.7.1-1 sport/tennis/#/ranking", "sport/tennis/#/ranking", ErrHash},
		{"MQTT-4.7.1-1 #/", "#/", ErrHash},
		{"MQTT-4.7.1-1 ##", "##", ErrHash},
		{"MQTT-4.7.1-2 sport+", "sport+", ErrPlus},
		{"MQTT-4.7.1-2 a/+b/c", "a/+b/c", ErrPlus},
		{"MQTT-4.7.1-2 ++", "++", ErrPlus},
		{"MQTT-4.7.3-1 empty", "", ErrEmpty},
		{"MQTT-4.7.3-2 NUL", "a\x00", ErrEncoding},
		{"MQTT-4.7.3-3 too long", strings.Repeat("a", 65536), ErrTooLong},
		{"shared", "$share/g/a/+", nil},
		{"shared, filter of one slash", "$share/g//", nil},
		{"not shared", "$share", nil},
		{"MQTT-4.8.2-1 no name", "$share//a", ErrShare},
		{"MQTT-4.8.2-2 no slash", "$share/g", ErrShare},
		{"MQTT-4.8.2-2 no filter", "$share/g/", ErrShare},
		{"MQTT-4.8.2-2 wildcard in the name", "$share/g+/a", ErrShare},
		{"shared, bad filter", "$share/g/a#", ErrHash},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) { assert.ErrorIs(t, ValidateFilter(tt.filter), tt.want) })
	}
}

func TestParseShare(t *testing.T) {
	group, rest, err := ParseShare("$share/consumer1//finance/#")
	assert.NoError(t, err)
	assert.Equal(t, "consumer1", group)
	assert.Equal(t, "/finance/#", rest)
	group, rest, err = ParseShare("a/b")
	assert.NoError(t, err)
	assert.Empty(t, group)
	assert.Equal(t, "a/b", rest)
}

func TestLevels(t *testing.T) {
	assert.Equal(t, 1, Levels("a"))
	assert.Equal(t, 2, Levels("/"))
	assert.Equal(t, 3, Levels([]byte("a//b")))
}

// matches are pairs of a filter and a name with the answer of the standard.
var matches = []struct {
	filter, name string
	want         bool
}{
	{"sport/tennis/player1/#", "sport/tennis/player1", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
	{"sport/tennis/player1/#", "sport/tennis/player10", false},
	{"sport/#", "sport", true},
	{"sport/#", "sport/", true},
	{"sport/#", "sports", false},
	{"#", "a", true},
	{"#", "/", true},
	{"#", "a/b/c", true},
	{"+", "a", true},
	{"+", "a/b", false},
	{"+", "/a", false},
	{"+/+", "/finance", true},
	{"/+", "/finance", true},
	{"sport/+", "sport", false},
	{"sport/+", "sport/", true},
	{"sport/+/player1", "sport/tennis/player1", true},
	{"sport/+/player1", "sport//player1", true},
	{"+/#", "a", true},
	{"+/#", "a/b", true},
	{"a/+/#", "a", false},
	{"a/+/#", "a/b", true},
	{"a//b", "a//b", true},
	{"a/b", "a//b", false},
	{"a", "A", false},
	{"#", "$SYS", false},
	{"#", "$SYS/x", false},
	{"+/x", "$SYS/x", false},
	{"$SYS/#", "$SYS/x", true},
	{"$SYS/#", "$SYS", true},
	{"$SYS/+", "$SYS/x", true},
	{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
	{"a/#", "a/$SYS", true},
	{"a/+", "a/$x", true},
	{"a\u0301", "á", false}, // MQTT-4.7.3-4: no normalisation
}

func TestMatch(t *testing.T) {
	for _, tt := range matches {
		assert.Equal(t, tt.want, Match(tt.filter, tt.name), "%q %q", tt.filter, tt.name)
		assert.Equal(t, tt.want, naive(tt.filter, tt.name), "naive: %q %q", tt.filter, tt.name)
	}
}

// naive matches the way the standard explains it, as a check on everything else.
func naive(filter, name string) bool {
	if strings.HasPrefix(name, "$") && (filter[0] == '#' || filter[0] == '+') {
		return false
	}
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	for i := range f {
		if f[i] == "#" {
			return len(n) >= i
		}
		if i >= len(n) || f[i] != "+" && f[i] != n[i] {
			return false
		}
	}
	return len(f) == len(n)
}
