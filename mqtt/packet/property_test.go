package packet

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// places is table 2-4 of MQTT 5.0, written once more: data type and packets of
// every property.
var places = map[PropertyID]string{
	0x01: "byte will PUBLISH",
	0x02: "uint32 will PUBLISH",
	0x03: "string will PUBLISH",
	0x08: "string will PUBLISH",
	0x09: "binary will PUBLISH",
	0x0B: "varint PUBLISH SUBSCRIBE",
	0x11: "uint32 CONNECT CONNACK DISCONNECT",
	0x12: "string CONNACK",
	0x13: "uint16 CONNACK",
	0x15: "string CONNECT CONNACK AUTH",
	0x16: "binary CONNECT CONNACK AUTH",
	0x17: "byte CONNECT",
	0x18: "uint32 will",
	0x19: "byte CONNECT",
	0x1A: "string CONNACK",
	0x1C: "string CONNACK DISCONNECT",
	0x1F: "string CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH",
	0x21: "uint16 CONNECT CONNACK",
	0x22: "uint16 CONNECT CONNACK",
	0x23: "uint16 PUBLISH",
	0x24: "byte CONNACK",
	0x25: "byte CONNACK",
	0x26: "pair will CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH",
	0x27: "uint32 CONNECT CONNACK",
	0x28: "byte CONNACK",
	0x29: "byte CONNACK",
	0x2A: "byte CONNACK",
}

// sampleValue is a legal value of a data type with the wire form 00 01 ... or 01.
var sampleValue = map[string]string{
	"byte": "01", "uint16": "00 01", "uint32": "00 00 00 01", "varint": "01",
	"string": "00 01 's'", "binary": "00 01 FF", "pair": "00 01 'k' 00 01 'v'",
}

// carriers are the packets that hold properties, and the will.
var carriers = []Type{WillProperties, CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH}

// carry makes a legal packet of type t around a property block.
func carry(t Type, p Properties) Packet {
	switch t {
	case WillProperties:
		return &Connect{Version: V50, Will: &Will{Topic: "t", Properties: p}}
	case CONNECT:
		return &Connect{Version: V50, Properties: p}
	case CONNACK:
		return &Connack{Properties: p}
	case PUBLISH:
		return &Publish{Topic: []byte("t"), Properties: p}
	case PUBACK:
		return &Puback{PacketID: 1, Properties: p}
	case PUBREC:
		return &Pubrec{PacketID: 1, Properties: p}
	case PUBREL:
		return &Pubrel{PacketID: 1, Properties: p}
	case PUBCOMP:
		return &Pubcomp{PacketID: 1, Properties: p}
	case SUBSCRIBE:
		return &Subscribe{PacketID: 1, Properties: p, Subscriptions: []Subscription{{Filter: "f"}}}
	case SUBACK:
		return &Suback{PacketID: 1, Properties: p, ReasonCodes: []ReasonCode{0}}
	case UNSUBSCRIBE:
		return &Unsubscribe{PacketID: 1, Properties: p, Filters: []string{"f"}}
	case UNSUBACK:
		return &Unsuback{PacketID: 1, Properties: p, ReasonCodes: []ReasonCode{0}}
	case DISCONNECT:
		return &Disconnect{Properties: p}
	}
	return &Auth{ReasonCode: ContinueAuthentication, Properties: p}
}

// withMethod adds the Authentication Method that the block needs to be legal.
func withMethod(t Type, p Properties) Properties {
	if (t == AUTH || p.Has(AuthenticationData)) && !p.Has(AuthenticationMethod) && AuthenticationMethod.AllowedIn(t) {
		return AppendString(slices.Clip(p), AuthenticationMethod, "m")
	}
	return p
}

func decodeCode(t *testing.T, p Packet) ReasonCode {
	t.Helper()
	got, _, err := decodeOne(V50, p.AppendTo(nil, V50))
	if err == nil {
		require.Equal(t, snapshot(p).Type(), got.Type())
		return Success
	}
	return requireLegalError(t, err, p.Type().String()).Code
}

func TestPropertyPlaces(t *testing.T) {
	require.Len(t, places, 27)
	for id, row := range places {
		f := strings.Fields(row)
		block := Properties(append([]byte{byte(id)}, parseBytes(t, sampleValue[f[0]])...))
		twice := append(slices.Clone(block), block...)
		for _, in := range carriers {
			name := fmt.Sprintf("%v in %v", id, in)
			word, _, _ := strings.Cut(in.String(), " ")
			allowed := slices.Contains(f[1:], word)
			assert.Equal(t, allowed, id.AllowedIn(in), name)
			if !allowed {
				assert.Equal(t, MalformedPacket, decodeCode(t, carry(in, block)), name)
				continue
			}
			assert.Equal(t, Success, decodeCode(t, carry(in, withMethod(in, block))), name)
			want := ProtocolError
			if id == UserProperty || id == SubscriptionIdentifier && in == PUBLISH {
				want = Success
			}
			assert.Equal(t, want, decodeCode(t, carry(in, withMethod(in, twice))), "%s twice", name)
			for n := 1; n < len(block); n++ {
				assert.Equal(t, MalformedPacket, decodeCode(t, carry(in, block[:n])), "%s cut after %d", name, n)
			}
		}
	}
}

func TestUnknownProperties(t *testing.T) {
	for id := range 256 {
		if _, known := places[PropertyID(id)]; known {
			continue
		}
		assert.Equal(t, MalformedPacket, decodeCode(t, carry(PUBLISH, Properties{byte(id), 0, 0, 0, 0})), "0x%02X", id)
		assert.Contains(t, PropertyID(id).String(), "unknown")
		for in := range Type(16) {
			assert.False(t, PropertyID(id).AllowedIn(in))
		}
	}
	assert.False(t, UserProperty.AllowedIn(16))
	assert.Equal(t, "Topic Alias", TopicAlias.String())
}

// No packet without a property block in the standard has one here.
func TestPropertiesNowhereElse(t *testing.T) {
	for id := range places {
		assert.False(t, id.AllowedIn(PINGREQ))
		assert.False(t, id.AllowedIn(PINGRESP))
	}
}

func TestPropertyValues(t *testing.T) {
	cases := []struct {
		name  string
		in    Type
		block string
		want  ReasonCode
	}{
		{"3.1.2.11.3 Receive Maximum 0", CONNECT, "21 00 00", ProtocolError},
		{"3.1.2.11.3 Receive Maximum 1", CONNECT, "21 00 01", Success},
		{"3.2.2.3.3 Receive Maximum 0", CONNACK, "21 00 00", ProtocolError},
		{"3.1.2.11.4 Maximum Packet Size 0", CONNECT, "27 00 00 00 00", ProtocolError},
		{"3.2.2.3.6 Maximum Packet Size 0", CONNACK, "27 00 00 00 00", ProtocolError},
		{"3.1.2.11.4 Maximum Packet Size largest", CONNECT, "27 FF FF FF FF", Success},
		{"3.1.2.11.5 Topic Alias Maximum 0", CONNECT, "22 00 00", Success},
		{"3.1.2.11.6 Request Response Information 2", CONNECT, "19 02", ProtocolError},
		{"3.1.2.11.7 Request Problem Information 2", CONNECT, "17 02", ProtocolError},
		{"3.2.2.3.4 Maximum QoS 2", CONNACK, "24 02", ProtocolError},
		{"3.2.2.3.4 Maximum QoS 0", CONNACK, "24 00", Success},
		{"3.2.2.3.5 Retain Available 2", CONNACK, "25 02", ProtocolError},
		{"3.2.2.3.11 Wildcard Subscription Available 2", CONNACK, "28 FF", ProtocolError},
		{"3.2.2.3.12 Subscription Identifiers Available 2", CONNACK, "29 02", ProtocolError},
		{"3.2.2.3.13 Shared Subscription Available 2", CONNACK, "2A 02", ProtocolError},
		{"3.3.2.3.2 Payload Format Indicator 2", PUBLISH, "01 02", ProtocolError},
		{"3.1.3.2.3 Payload Format Indicator 2", WillProperties, "01 02", ProtocolError},
		{"MQTT-3.3.2-8 Topic Alias 0", PUBLISH, "23 00 00", TopicAliasInvalid},
		{"MQTT-3.3.2-8 Topic Alias 65535", PUBLISH, "23 FF FF", Success},
		{"3.8.2.1.2 Subscription Identifier 0", SUBSCRIBE, "0B 00", ProtocolError},
		{"3.8.2.1.2 Subscription Identifier largest", SUBSCRIBE, "0B FF FF FF 7F", Success},
		{"MQTT-1.5.5-1 Subscription Identifier padded", SUBSCRIBE, "0B 81 80 00", MalformedPacket},
		{"1.5.5 Subscription Identifier of five bytes", SUBSCRIBE, "0B FF FF FF FF 01", MalformedPacket},
		{"MQTT-3.3.2-14 Response Topic +", PUBLISH, "08 00 03 'a/+'", ProtocolError},
		{"MQTT-3.3.2-14 Response Topic # in a will", WillProperties, "08 00 01 '#'", ProtocolError},
		{"MQTT-1.5.4-1 Reason String", PUBACK, "1F 00 03 ED A0 80", MalformedPacket},
		{"MQTT-1.5.4-2 Content Type", PUBLISH, "03 00 03 'a' 00 'b'", MalformedPacket},
		{"MQTT-1.5.4-3 Content Type with U+FEFF", PUBLISH, "03 00 03 EF BB BF", Success},
		{"MQTT-1.5.7-1 User Property key", DISCONNECT, "26 00 01 80 00 00", MalformedPacket},
		{"MQTT-1.5.7-1 User Property value", SUBSCRIBE, "26 00 00 00 01 00", MalformedPacket},
		{"Correlation Data is any bytes", PUBLISH, "09 00 04 00 FF C0 80", Success},
		{"Authentication Data without method", CONNACK, "16 00 00", ProtocolError},
		{"Authentication Data before method", CONNACK, "16 00 00 15 00 01 'm'", Success},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := Properties(parseBytes(t, c.block))
			assert.Equal(t, c.want, decodeCode(t, carry(c.in, p)))
			err := p.Validate(c.in)
			if c.want == Success {
				assert.NoError(t, err)
				return
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, Error{Code: c.want, Type: c.in, Version: V50, Reason: e.Reason}, *e)
		})
	}
}

func TestPropertiesRead(t *testing.T) {
	p := props(num(PayloadFormatIndicator, 1), num(TopicAlias, 513), num(MessageExpiryInterval, 1<<31), num(SubscriptionIdentifier, 300),
		text(ContentType, "c"), user("k1", "v1"), text(CorrelationData, ""), num(SubscriptionIdentifier, 1), user("k1", "v2"))
	for id, want := range map[PropertyID]uint32{PayloadFormatIndicator: 1, TopicAlias: 513, MessageExpiryInterval: 1 << 31, SubscriptionIdentifier: 300} {
		got, ok := p.Uint(id)
		assert.True(t, ok)
		assert.Equal(t, want, got)
	}
	for id, want := range map[PropertyID]string{ContentType: "c", CorrelationData: "", UserProperty: "v1"} {
		got, ok := p.Bytes(id)
		assert.True(t, ok)
		assert.Equal(t, want, string(got))
	}
	_, ok := p.Uint(ReceiveMaximum)
	assert.False(t, ok)
	_, ok = p.Bytes(ReasonString)
	assert.False(t, ok)
	assert.True(t, p.Has(TopicAlias))
	assert.False(t, Properties(nil).Has(TopicAlias))

	assert.Equal(t, []uint32{300, 1}, slices.Collect(p.SubscriptionIdentifiers()))
	var users []string
	for k, v := range p.UserProperties() {
		users = append(users, string(k)+"="+string(v))
	}
	assert.Equal(t, []string{"k1=v1", "k1=v2"}, users, "MQTT-3.3.2-18")
	var ids []PropertyID
	for q := range p.All() {
		ids = append(ids, q.ID)
	}
	assert.Equal(t, []PropertyID{1, 0x23, 2, 0x0B, 3, 0x26, 9, 0x0B, 0x26}, ids)
}

func TestPropertiesStopEarly(t *testing.T) {
	p := props(num(SubscriptionIdentifier, 1), num(SubscriptionIdentifier, 2), user("a", "b"), user("c", "d"))
	for range p.All() {
		break
	}
	for id := range p.SubscriptionIdentifiers() {
		assert.EqualValues(t, 1, id)
		break
	}
	for k := range p.UserProperties() {
		assert.Equal(t, "a", string(k))
		break
	}
}

func TestAppendExcept(t *testing.T) {
	p := props(num(TopicAlias, 5), user("a", "1"), num(SubscriptionIdentifier, 1), num(SubscriptionIdentifier, 2), text(ContentType, "x"))
	assert.Equal(t, p, p.AppendExcept(nil))
	assert.Equal(t, props(user("a", "1"), text(ContentType, "x")), p.AppendExcept(nil, TopicAlias, SubscriptionIdentifier))
	assert.Equal(t, props(num(MessageExpiryInterval, 9), num(TopicAlias, 5)),
		p.AppendExcept(props(num(MessageExpiryInterval, 9)), UserProperty, SubscriptionIdentifier, ContentType))
	inPlace := slices.Clone(p)
	assert.Equal(t, props(user("a", "1"), text(ContentType, "x")), inPlace.AppendExcept(inPlace[:0], TopicAlias, SubscriptionIdentifier))
}

// Reading a block that nobody checked ends at the first bad property.
func TestPropertiesOfBadBlock(t *testing.T) {
	bad := append(props(num(TopicAlias, 5)), byte(ContentType), 0, 9)
	assert.Len(t, slices.Collect(bad.All()), 1)
	assert.False(t, bad.Has(ContentType))
	assert.Equal(t, props(num(TopicAlias, 5)), bad.AppendExcept(nil))
}

func TestAppendLimits(t *testing.T) {
	long := strings.Repeat("x", MaxStringSize+1)
	p := AppendString(nil, ContentType, long)
	assert.Len(t, p, 1+2+MaxStringSize)
	assert.NoError(t, p.Validate(PUBLISH))
	p = AppendVarint(nil, SubscriptionIdentifier, 1<<31)
	v, _ := p.Uint(SubscriptionIdentifier)
	assert.EqualValues(t, MaxRemainingLength, v)
}

// A string that is too long is cut between two characters: the property stays UTF-8
// [MQTT-1.5.4-1].
func TestAppendStringCutsBetweenCharacters(t *testing.T) {
	for _, char := range []string{"a", "é", "€", "😀"} {
		for shift := range 4 {
			long := strings.Repeat("a", shift) + strings.Repeat(char, MaxStringSize)
			p := AppendUserProperty(AppendString(nil, ReasonString, long), long, long)
			require.NoError(t, p.Validate(PUBACK), "%q %d", char, shift)
			b, ok := p.Bytes(ReasonString)
			require.True(t, ok)
			cut := string(b)
			assert.True(t, strings.HasPrefix(long, cut))
			assert.Greater(t, len(cut), MaxStringSize-len(char))
		}
	}
	assert.Len(t, AppendString(nil, ReasonString, strings.Repeat("\x80", MaxStringSize+9)), 3+MaxStringSize-3, "not UTF-8: cut anyway")
}
