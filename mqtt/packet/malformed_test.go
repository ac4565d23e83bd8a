package packet

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type malformedCase struct {
	version   Version
	code      ReasonCode
	statement string
	name      string
	bytes     []byte
}

func malformedCases(t testing.TB) (cases []malformedCase) {
	for _, line := range tableLines(t, "testdata/malformed.txt") {
		left, right, ok := strings.Cut(line, "|")
		f := strings.Fields(left)
		require.True(t, ok && len(f) == 4, line)
		code, err := strconv.ParseUint(f[1], 16, 8)
		require.NoError(t, err)
		for _, v := range parseVersions(t, f[0]) {
			cases = append(cases, malformedCase{v, ReasonCode(code), f[2], f[3], parseBytes(t, right)})
		}
	}
	return cases
}

func TestMalformed(t *testing.T) {
	for _, c := range malformedCases(t) {
		t.Run(fmt.Sprintf("%s/%s/%s", c.version, c.statement, c.name), func(t *testing.T) {
			requireComplete(t, c)
			p, _, err := decodeOne(c.version, c.bytes)
			require.Nil(t, p)
			e := requireLegalError(t, err, c.name)
			assert.Equal(t, c.code, e.Code, e.Reason)
			assert.Equal(t, Type(c.bytes[0]>>4), e.Type)
			if e.Type != CONNECT {
				assert.Equal(t, c.version, e.Version)
			}
		})
	}
}

// requireComplete guards the table: the bytes are one packet, or so few that the
// fixed header alone is refused.
func requireComplete(t *testing.T, c malformedCase) {
	t.Helper()
	if len(c.bytes) < 2 || c.bytes[1] >= 0x80 {
		return
	}
	require.Len(t, c.bytes, 2+int(c.bytes[1]), "wrong Remaining Length in the table")
}

// The same error comes out however the bytes arrive, and it stays.
func TestMalformedByteByByte(t *testing.T) {
	for _, c := range malformedCases(t) {
		d := decoderFor(c.version, c.bytes)
		var err error
		for i := range c.bytes {
			d.Feed(c.bytes[i : i+1])
			var p Packet
			p, err = d.Next()
			require.Nil(t, p, c.name)
			if err != nil {
				break
			}
		}
		require.Equal(t, c.code, requireLegalError(t, err, c.name).Code, c.name)
		d.Feed([]byte{0xC0, 0})
		_, again := d.Next()
		require.Equal(t, err, again, "the error is not sticky")
	}
}

// [MQTT-3.1.2-2]: the answer to an unsupported version has a format that the peer
// understands.
func TestUnsupportedVersionReply(t *testing.T) {
	cases := []struct {
		name, level string
		version     Version
		reply       string
	}{
		{"MQTT", "00", V311, "20 02 00 01"},
		{"MQTT", "03", V311, "20 02 00 01"},
		{"MQTT", "84", V311, "20 02 00 01"}, // a bridge with 3.1.1
		{"MQIsdp", "83", V311, "20 02 00 01"},
		{"MQIsdp", "05", V311, "20 02 00 01"},
		{"mqtt", "05", V311, "20 02 00 01"},
		{"MQTT", "06", V50, "20 03 00 84 00"},
		{"MQTT", "7F", V50, "20 03 00 84 00"},
		{"MQTT", "85", V50, "20 03 00 84 00"},
	}
	for _, c := range cases {
		t.Run("MQTT-3.1.2-2/"+c.name+"-"+c.level, func(t *testing.T) {
			body := parseBytes(t, fmt.Sprintf("00 %02X '%s' %s 02 00 00 00 00", len(c.name), c.name, c.level))
			_, _, err := decodeOne(0, append([]byte{0x10, byte(len(body))}, body...))
			e := requireLegalError(t, err, c.name)
			assert.Equal(t, UnsupportedProtocolVersion, e.Code)
			assert.Equal(t, c.version, e.Version)
			assert.Equal(t, parseBytes(t, c.reply), e.Reply().AppendTo(nil, e.Version))
		})
	}
}

func TestReply(t *testing.T) {
	cases := []struct {
		name string
		err  Error
		want Packet
	}{
		{"MQTT-3.1.4-1 3.1.1 malformed CONNECT is not answered", Error{Code: MalformedPacket, Type: CONNECT, Version: V311}, nil},
		{"MQTT-3.1.3-8 3.1.1 empty client id", Error{Code: ClientIdentifierNotValid, Type: CONNECT, Version: V311}, &Connack{ReasonCode: ClientIdentifierNotValid}},
		{"5.0 malformed CONNECT", Error{Code: MalformedPacket, Type: CONNECT, Version: V50}, &Connack{ReasonCode: MalformedPacket}},
		{"CONNECT of an unknown peer", Error{Code: MalformedPacket, Type: CONNECT}, nil},
		{"3.1.1 has no DISCONNECT from the server", Error{Code: ProtocolError, Type: PUBLISH, Version: V311}, nil},
		{"MQTT-3.14.1-1 5.0", Error{Code: MalformedPacket, Type: DISCONNECT, Version: V50}, &Disconnect{ReasonCode: MalformedPacket}},
		{"before CONNECT", Error{Code: ProtocolError, Type: PUBLISH}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.want == nil {
				assert.Nil(t, c.err.Reply())
				return
			}
			assert.Equal(t, c.want, c.err.Reply())
		})
	}
}

func TestErrorText(t *testing.T) {
	_, _, err := decodeOne(V50, []byte{0x36, 0})
	assert.EqualError(t, err, "mqtt: PUBLISH: Malformed Packet (0x81): PUBLISH with QoS 3 [MQTT-3.3.1-4]")
}
