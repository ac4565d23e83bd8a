// Package output prints received messages as mosquitto_sub does: format strings
// (-F), JSON and strftime. A Format is parsed once; printing appends to a buffer.
//
//	-F text -> Parse -> Format -> Append(message, time) -> bytes
package output

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// conversions are the letters that may follow % and its flags.
const conversions = "ACDEFIjJlmPpqRrStUxX"

// maxWidth is the largest field width and precision, in characters: a slip of the
// finger shall not fill the screen and the memory.
const maxWidth = 1 << 16

// Format is a parsed format string. Any goroutine may use it.
type Format struct {
	parts  []part
	pretty bool
}

// part is literal text, or one conversion.
type part struct {
	text  string
	kind  byte // 0: text; '@': strftime; '%': a conversion
	verb  byte
	left  bool // pad on the right
	zero  bool // pad with zeros
	width int
	most  int // characters at most; -1 = any number
}

// Parse reads the format string of mosquitto_sub -F. pretty has %j and %J indented.
// The error says which sequence is wrong.
func Parse(format string, pretty bool) (*Format, error) {
	f := &Format{pretty: pretty}
	for rest := format; rest != ""; {
		var p part
		var err error
		switch rest[0] {
		case '%':
			p, rest, err = parseConversion(rest[1:])
		case '@':
			p, rest, err = parseTime(rest[1:])
		case '\\':
			p, rest, err = parseEscape(rest[1:])
		default:
			end := strings.IndexAny(rest, `%@\`)
			if end < 0 {
				end = len(rest)
			}
			p, rest = part{text: rest[:end]}, rest[end:]
		}
		if err != nil {
			return nil, fmt.Errorf("format %q: %w", format, err)
		}
		f.parts = append(f.parts, p)
	}
	return f, nil
}

// parseConversion reads what follows %: flags - and 0, width, .precision, letter.
func parseConversion(s string) (p part, rest string, err error) {
	p = part{kind: '%', most: -1}
	if s, p.left = strings.CutPrefix(s, "-"); s != "" {
		s, p.zero = strings.CutPrefix(s, "0")
	}
	if p.width, s, err = number(s); err != nil {
		return p, s, err
	}
	if digits, ok := strings.CutPrefix(s, "."); ok {
		if p.most, s, err = number(digits); err != nil {
			return p, s, err
		}
	}
	if s == "" {
		return p, s, fmt.Errorf("a letter must follow %%: one of %s, or %%%%", conversions)
	}
	p.verb = s[0]
	switch {
	case p.verb == '%':
		p = part{text: "%"}
	case !strings.ContainsRune(conversions, rune(p.verb)):
		return p, s, fmt.Errorf("%%%c is unknown: one of %s, or %%%%", p.verb, conversions)
	}
	return p, s[1:], nil
}

// number reads the digits that s starts with; none are 0.
func number(s string) (n int, rest string, err error) {
	end := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if end == 0 {
		return 0, s, nil
	}
	n, err = strconv.Atoi(s[:end])
	if err != nil || n > maxWidth {
		return 0, s, fmt.Errorf("width %s is more than %d", s[:end], maxWidth)
	}
	return n, s[end:], nil
}

func parseTime(s string) (p part, rest string, err error) {
	switch {
	case s == "":
		return p, s, fmt.Errorf("a letter of strftime must follow @, or another @")
	case s[0] == '@':
		return part{text: "@"}, s[1:], nil
	case s[0] != 'N' && !knownTime(s[0]):
		return p, s, fmt.Errorf("@%c: strftime knows no %%%c", s[0], s[0])
	}
	return part{kind: '@', verb: s[0]}, s[1:], nil
}

// escapes are the letters that may follow a backslash.
var escapes = map[byte]string{'\\': `\`, '0': "\x00", 'a': "\a", 'e': "\x1b", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

func parseEscape(s string) (p part, rest string, err error) {
	if s == "" {
		return p, s, fmt.Errorf(`a letter must follow \: one of 0aenrtv, or another \`)
	}
	text, ok := escapes[s[0]]
	if !ok {
		return p, s, fmt.Errorf(`\%c is unknown: one of 0aenrtv, or \\`, s[0])
	}
	return part{text: text}, s[1:], nil
}

// Append appends m, received at now, to dst, without a line end. The error says that
// %J was asked for and the payload is no JSON; dst then holds what came before.
func (f *Format) Append(dst []byte, m client.Message, now time.Time) ([]byte, error) {
	var err error
	for _, p := range f.parts {
		switch p.kind {
		case 0:
			dst = append(dst, p.text...)
		case '@':
			dst = appendTime(dst, p.verb, now)
		default:
			var failure error
			if dst, failure = f.appendConversion(dst, p, m, now); failure != nil {
				err = failure
			}
		}
	}
	return dst, err
}

func (f *Format) appendConversion(dst []byte, p part, m client.Message, now time.Time) ([]byte, error) {
	switch p.verb {
	case 'j', 'J':
		return appendJSON(dst, m, now, p.verb == 'j', f.pretty)
	case 'p':
		return p.appendPayload(dst, m.Payload), nil
	case 'x', 'X':
		return p.appendHex(dst, m.Payload), nil
	case 'I', 'q', 'r', 't', 'U':
		return p.appendPlain(dst, m, now), nil
	case 'l':
		return p.appendNumber(dst, uint32(len(m.Payload)), true), nil
	case 'm':
		return p.appendNumber(dst, uint32(m.PacketID), true), nil
	}
	return p.appendProperty(dst, m.Properties), nil
}

// appendPlain prints what every message has.
func (p part) appendPlain(dst []byte, m client.Message, now time.Time) []byte {
	switch p.verb {
	case 'I':
		return p.appendText(dst, []byte(now.Format("2006-01-02T15:04:05-0700")))
	case 'q':
		return append(dst, '0'+m.QoS)
	case 'r':
		if m.Retain {
			return append(dst, '1')
		}
		return append(dst, '0')
	case 't':
		return p.appendText(dst, []byte(m.Topic))
	}
	return fmt.Appendf(dst, "%d.%09d", now.Unix(), now.Nanosecond()) // %U
}

var propertyOf = map[byte]packet.PropertyID{
	'A': packet.TopicAlias, 'C': packet.ContentType, 'D': packet.CorrelationData, 'E': packet.MessageExpiryInterval,
	'F': packet.PayloadFormatIndicator, 'R': packet.ResponseTopic, 'S': packet.SubscriptionIdentifier,
}

// appendProperty prints a property, or blanks where there is none.
func (p part) appendProperty(dst []byte, props packet.Properties) []byte {
	id := propertyOf[p.verb]
	switch p.verb {
	case 'P':
		return appendUserProperties(dst, props)
	case 'D':
		value, _ := props.Bytes(id)
		return append(dst, value...)
	case 'C', 'R':
		value, ok := props.Bytes(id)
		if !ok && p.verb == 'R' {
			return dst
		}
		return p.appendText(dst, value)
	}
	value, ok := props.Uint(id)
	return p.appendNumber(dst, value, ok)
}

func appendUserProperties(dst []byte, props packet.Properties) []byte {
	first := true
	for key, value := range props.UserProperties() {
		if !first {
			dst = append(dst, ' ')
		}
		first = false
		dst = append(append(append(dst, key...), ':'), value...)
	}
	return dst
}

// appendText pads text with blanks, as printf does.
func (p part) appendText(dst, text []byte) []byte {
	if p.most >= 0 && len(text) > p.most {
		text = text[:p.most]
	}
	return p.pad(dst, ' ', len(text), func(dst []byte) []byte { return append(dst, text...) })
}

// appendNumber pads with blanks or zeros; a number that is absent is all padding.
func (p part) appendNumber(dst []byte, n uint32, present bool) []byte {
	var digits []byte
	if present {
		digits = strconv.AppendInt(nil, int64(int32(n)), 10)
	}
	fill := byte(' ')
	if p.zero && (!p.left || !present) {
		fill = '0'
	}
	return p.pad(dst, fill, len(digits), func(dst []byte) []byte { return append(dst, digits...) })
}

// appendPayload cuts the payload to the width, unlike printf.
func (p part) appendPayload(dst, payload []byte) []byte {
	if p.width > 0 && len(payload) > p.width {
		payload = payload[:p.width]
	}
	return p.pad(dst, p.fill(), len(payload), func(dst []byte) []byte { return append(dst, payload...) })
}

// appendHex does the same with two digits per byte; an odd width has one blank more.
func (p part) appendHex(dst, payload []byte) []byte {
	if p.width > 0 {
		payload = payload[:min(len(payload), p.width)/2]
	}
	digits := "0123456789abcdef"
	if p.verb == 'X' {
		digits = "0123456789ABCDEF"
	}
	return p.pad(dst, p.fill(), 2*len(payload), func(dst []byte) []byte {
		for _, b := range payload {
			dst = append(dst, digits[b>>4], digits[b&15])
		}
		return dst
	})
}

func (p part) fill() byte {
	if p.zero && !p.left {
		return '0'
	}
	return ' '
}

// pad appends what text appends, used characters, and padding up to the width.
func (p part) pad(dst []byte, fill byte, used int, text func([]byte) []byte) []byte {
	padding := strings.Repeat(string(rune(fill)), max(0, p.width-used))
	if p.left {
		return append(text(dst), padding...)
	}
	return text(append(dst, padding...))
}
