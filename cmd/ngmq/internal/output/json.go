package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	key   string
	value any // object, []any, string, float64, bool or nil
}

// maxDepth is how deep a payload may nest for %J: as deep as JSON libraries allow at
// least, and far from the end of the stack.
const maxDepth = 1000

// appendJSON appends the members that mosquitto_sub prints, in its order. quoted (%j)
// has the payload as a string, or as an array of bytes when it is no text; otherwise
// (%J) it has to be JSON itself.
func appendJSON(dst []byte, m client.Message, now time.Time, quoted, pretty bool) ([]byte, error) {
	payload, err := payloadValue(m, quoted)
	if err != nil {
		return dst, err
	}
	retain := 0.0
	if m.Retain {
		retain = 1
	}
	root := object{
		{"tst", now.Format("2006-01-02T15:04:05.000000Z-0700")}, {"topic", m.Topic},
		{"qos", float64(m.QoS)}, {"retain", retain}, {"payloadlen", float64(len(m.Payload))},
	}
	if m.QoS > 0 {
		root = append(root, member{"mid", float64(m.PacketID)})
	}
	if props := propertyObject(m.Properties); len(props) > 0 {
		root = append(root, member{"properties", props})
	}
	root = append(root, member{"payload", payload})
	if pretty {
		return appendPretty(dst, root, 0), nil
	}
	return appendValue(dst, root), nil
}

func payloadValue(m client.Message, quoted bool) (any, error) {
	switch {
	case len(m.Payload) == 0:
		return nil, nil
	case quoted && utf8.Valid(m.Payload):
		return string(m.Payload), nil
	case quoted:
		list := make([]any, len(m.Payload))
		for i, b := range m.Payload {
			list[i] = float64(b)
		}
		return list, nil
	}
	value, err := parseJSON(m.Payload)
	if err != nil {
		return nil, fmt.Errorf("message payload is not valid JSON on topic %s: %w", m.Topic, err)
	}
	return value, nil
}

// propertyObject has the properties of a PUBLISH under their names with hyphens, and
// the user properties in an object of their own.
func propertyObject(props packet.Properties) object {
	var list object
	user := -1
	for p := range props.All() {
		name := strings.ReplaceAll(strings.ToLower(p.ID.String()), " ", "-")
		switch p.ID {
		case packet.UserProperty:
			if user < 0 {
				user = len(list)
				list = append(list, member{"user-properties", object{}})
			}
			list[user].value = append(list[user].value.(object), member{string(p.Key), string(p.Value)})
		case packet.ContentType, packet.ResponseTopic, packet.CorrelationData:
			list = append(list, member{name, string(p.Value)})
		default:
			list = append(list, member{name, float64(p.Uint)})
		}
	}
	return list
}

// parseJSON reads one value; members keep their order, and numbers become float64 as
// in mosquitto_sub.
func parseJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	value, err := parseValue(d, maxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the value")
	}
	return value, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth == 0 {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch token {
	case json.Delim('{'):
		return parseObject(d, depth-1)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := parseValue(d, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

func parseObject(d *json.Decoder, depth int) (any, error) {
	o := object{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		value, err := parseValue(d, depth)
		if err != nil {
			return nil, err
		}
		o = append(o, member{key.(string), value})
	}
	_, err := d.Token()
	return o, err
}

func appendValue(dst []byte, value any) []byte {
	switch v := value.(type) {
	case object:
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, m.key), ':')
			dst = appendValue(dst, m.value)
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, element)
		}
		return append(dst, ']')
	}
	return appendScalar(dst, value)
}

func appendScalar(dst []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return appendString(dst, v)
	case float64:
		return appendNumber(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}

// appendPretty is the layout of cJSON: tabs, a tab after the colon, arrays on a line.
func appendPretty(dst []byte, value any, depth int) []byte {
	switch v := value.(type) {
	case object:
		dst = append(dst, "{\n"...)
		for i, m := range v {
			dst = append(dst, strings.Repeat("\t", depth+1)...)
			dst = append(appendString(dst, m.key), ":\t"...)
			dst = appendPretty(dst, m.value, depth+1)
			if i < len(v)-1 {
				dst = append(dst, ',')
			}
			dst = append(dst, '\n')
		}
		return append(append(dst, strings.Repeat("\t", depth)...), '}')
	case []any:
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendPretty(dst, element, depth+1)
		}
		return append(dst, ']')
	}
	return appendScalar(dst, value)
}

// appendNumber prints as few digits as bring the number back, at least as cJSON does:
// 15 of them, or 17.
func appendNumber(dst []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	text := strconv.FormatFloat(v, 'g', 15, 64)
	if back, err := strconv.ParseFloat(text, 64); err != nil || back != v {
		text = strconv.FormatFloat(v, 'g', 17, 64)
	}
	mantissa, exponent, scientific := strings.Cut(text, "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	dst = append(dst, mantissa...)
	if scientific {
		dst = append(append(dst, 'e'), exponent...)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString escapes what JSON wants escaped and nothing else.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		default:
			dst = appendControl(dst, c)
		}
	}
	return append(dst, '"')
}

func appendControl(dst []byte, c byte) []byte {
	if i := strings.IndexByte("\b\f\n\r\t", c); i >= 0 {
		return append(dst, '\\', "bfnrt"[i])
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
