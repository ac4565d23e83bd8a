package packet

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// values are what the lines of testdata/valid.txt decode to.
var values = map[string]Packet{
	"connect-31":          &Connect{ProtocolName: "MQIsdp", Version: V31, CleanStart: true, KeepAlive: 60, ClientID: "c"},
	"connect-31-user":     &Connect{ProtocolName: "MQIsdp", Version: V31, CleanStart: true, KeepAlive: 60, ClientID: "c", Username: new("u"), Password: []byte{}},
	"connect-31-nouser":   &Connect{ProtocolName: "MQIsdp", Version: V31, CleanStart: true, KeepAlive: 60, ClientID: "c"},
	"connect-311-min":     &Connect{ProtocolName: "MQTT", Version: V311, CleanStart: true},
	"connect-311-session": &Connect{ProtocolName: "MQTT", Version: V311, KeepAlive: 65535, ClientID: "c"},
	"connect-311-full": &Connect{
		ProtocolName: "MQTT", Version: V311, CleanStart: true, KeepAlive: 10, ClientID: "id",
		Will:     &Will{Topic: "t", Payload: []byte("wp"), QoS: 1, Retain: true},
		Username: new("u"), Password: []byte("p"),
	},
	"connect-311-will2": &Connect{
		ProtocolName: "MQTT", Version: V311, CleanStart: true,
		Will: &Will{Topic: "w", QoS: 2},
	},
	"connect-50-min":      &Connect{ProtocolName: "MQTT", Version: V50, CleanStart: true},
	"connect-50-password": &Connect{ProtocolName: "MQTT", Version: V50, CleanStart: true, Password: []byte{0}},
	"connect-50-full": &Connect{
		ProtocolName: "MQTT", Version: V50, CleanStart: true, KeepAlive: 300, ClientID: "cid",
		Username: new("user"), Password: []byte("pw"),
		Will: &Will{
			Topic: "t", Payload: []byte("bye"), QoS: 2, Retain: true,
			Properties: props(
				num(WillDelayInterval, 5), num(PayloadFormatIndicator, 1), num(MessageExpiryInterval, 60),
				text(ContentType, "a/b"), text(ResponseTopic, "r/t"), text(CorrelationData, "\x01"), user("x", "y")),
		},
		Properties: props(
			num(SessionExpiryInterval, 3600), num(ReceiveMaximum, 20), num(MaximumPacketSize, 65536),
			num(TopicAliasMaximum, 10), num(RequestResponseInformation, 1), num(RequestProblemInformation, 0),
			user("k", "v"), user("k", "v2"), text(AuthenticationMethod, "SCRAM-"), text(AuthenticationData, "\x00\xFF")),
	},

	"connack-accepted":    &Connack{},
	"connack-present":     &Connack{SessionPresent: true},
	"connack-version":     &Connack{ReasonCode: UnsupportedProtocolVersion},
	"connack-id":          &Connack{ReasonCode: ClientIdentifierNotValid},
	"connack-unavailable": &Connack{ReasonCode: ServerUnavailable},
	"connack-password":    &Connack{ReasonCode: BadUserNameOrPassword},
	"connack-authorized":  &Connack{ReasonCode: NotAuthorized},
	"connack-full": &Connack{
		SessionPresent: true,
		Properties: props(
			num(SessionExpiryInterval, 0xFFFFFFFF), num(ReceiveMaximum, 65535), num(MaximumQoS, 1), num(RetainAvailable, 0),
			num(MaximumPacketSize, 1), text(AssignedClientIdentifier, "id"), num(TopicAliasMaximum, 1), text(ReasonString, "ok"),
			user("", ""), num(WildcardSubscriptionAvailable, 0), num(SubscriptionIdentifierAvailable, 1),
			num(SharedSubscriptionAvailable, 0), num(ServerKeepAlive, 30), text(ResponseInformation, "resp/"),
			text(ServerReference, "other"), text(AuthenticationMethod, "m"), text(AuthenticationData, "\x01\x02\x03"),
			user("k2", "v2"), user("k", "v3...")),
	},

	"publish-qos0":       &Publish{Topic: []byte("a/b"), Payload: []byte("hi")},
	"publish-qos1-dup":   &Publish{Dup: true, QoS: 1, Retain: true, Topic: []byte("a/b"), PacketID: 0x1234, Payload: []byte("x")},
	"publish-qos2-empty": &Publish{QoS: 2, Topic: []byte("t"), PacketID: 65535},
	"publish-alias":      &Publish{Properties: props(num(TopicAlias, 1))},
	"publish-full": &Publish{
		QoS: 1, Retain: true, Topic: []byte("café/€"), PacketID: 7,
		Properties: props(
			num(PayloadFormatIndicator, 1), num(MessageExpiryInterval, 600), num(TopicAlias, 5), text(ResponseTopic, "reply"),
			text(CorrelationData, "\xDE\xAD\xBE\xEF"), user("a", "1"), user("a", "2"),
			num(SubscriptionIdentifier, 1), num(SubscriptionIdentifier, MaxRemainingLength), text(ContentType, "")),
	},

	"puback":          &Puback{PacketID: 0x1234},
	"puback-code":     &Puback{PacketID: 0x1234, ReasonCode: NoMatchingSubscribers},
	"puback-props":    &Puback{PacketID: 0x1234, ReasonCode: NotAuthorized, Properties: props(text(ReasonString, "no"))},
	"puback-ok-props": &Puback{PacketID: 1, Properties: props(user("a", "b"))},
	"pubrec":          &Pubrec{PacketID: 1},
	"pubrec-code":     &Pubrec{PacketID: 1, ReasonCode: PacketIdentifierInUse},
	"pubrel":          &Pubrel{PacketID: 1},
	"pubrel-code":     &Pubrel{PacketID: 1, ReasonCode: PacketIdentifierNotFound},
	"pubcomp":         &Pubcomp{PacketID: 65535},
	"pubcomp-props":   &Pubcomp{PacketID: 65535, ReasonCode: PacketIdentifierNotFound, Properties: props(text(ReasonString, ""))},

	"subscribe": &Subscribe{PacketID: 10, Subscriptions: []Subscription{{Filter: "a/+", QoS: 1}, {Filter: "#", QoS: 2}}},
	"subscribe-options": &Subscribe{
		PacketID: 10, Properties: props(num(SubscriptionIdentifier, 128), user("k", "v")),
		Subscriptions: []Subscription{
			{Filter: "a"},
			{Filter: "b", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
			{Filter: "$share/g/t", QoS: 2, RetainAsPublished: true, RetainHandling: 1},
		},
	},
	"suback": &Suback{PacketID: 10, ReasonCodes: []ReasonCode{GrantedQoS0, GrantedQoS1, GrantedQoS2, UnspecifiedError}},
	"suback-props": &Suback{
		PacketID: 10, Properties: props(text(ReasonString, "so")),
		ReasonCodes: []ReasonCode{TopicFilterInvalid, SharedSubscriptionsNotSupported, SubscriptionIdentifiersNotSupported, WildcardSubscriptionsNotSupported},
	},
	"unsubscribe":       &Unsubscribe{PacketID: 11, Filters: []string{"a/+", "#"}},
	"unsubscribe-props": &Unsubscribe{PacketID: 11, Properties: props(user("k", "v")), Filters: []string{"f"}},
	"unsuback-3":        &Unsuback{PacketID: 11},
	"unsuback":          &Unsuback{PacketID: 11, ReasonCodes: []ReasonCode{Success, NoSubscriptionExisted}},
	"unsuback-props":    &Unsuback{PacketID: 11, Properties: props(text(ReasonString, "so")), ReasonCodes: []ReasonCode{NotAuthorized}},

	"pingreq":         &Pingreq{},
	"pingresp":        &Pingresp{},
	"disconnect":      &Disconnect{},
	"disconnect-will": &Disconnect{ReasonCode: DisconnectWithWill},
	"disconnect-full": &Disconnect{
		ReasonCode: ServerMoved,
		Properties: props(num(SessionExpiryInterval, 0), text(ReasonString, "gone"), text(ServerReference, "b:1"), user("", "")),
	},
	"auth-success":  &Auth{},
	"auth-continue": &Auth{ReasonCode: ContinueAuthentication, Properties: props(text(AuthenticationMethod, "m"), text(AuthenticationData, "d1"))},
	"auth-again":    &Auth{ReasonCode: Reauthenticate, Properties: props(text(AuthenticationMethod, "m"), text(AuthenticationData, ""), text(ReasonString, "r"))},
}

func TestByteExact(t *testing.T) {
	used := map[string]bool{}
	for _, c := range validCases(t) {
		used[c.name] = true
		t.Run(fmt.Sprintf("%s/%s", c.version, c.name), func(t *testing.T) {
			want := values[c.name]
			require.NotNil(t, want)
			got, rest, err := decodeOne(c.version, c.bytes)
			require.NoError(t, err)
			assert.Zero(t, rest)
			assert.Equal(t, snapshot(want), got)
			if !c.canonical {
				return
			}
			assert.Equal(t, hex.EncodeToString(c.bytes), hex.EncodeToString(want.AppendTo(nil, c.version)))
			assert.Equal(t, len(c.bytes), want.Size(c.version))
			assert.Equal(t, append([]byte("head"), c.bytes...), want.AppendTo([]byte("head"), c.version))
			assert.NoError(t, Validate(want, c.version))
		})
	}
	assert.Len(t, used, len(values), "a value without a line in valid.txt")
}

// Every type of every version is in the table.
func TestByteExactIsComplete(t *testing.T) {
	seen := map[Version]map[Type]bool{V31: {}, V311: {}, V50: {}}
	for _, c := range validCases(t) {
		seen[c.version][values[c.name].Type()] = true
	}
	assert.Len(t, seen[V31], 14)
	assert.Len(t, seen[V311], 14)
	assert.Len(t, seen[V50], 15)
}

// A strict prefix is neither a packet nor an error; the rest completes it,
// wherever the stream is cut.
func TestEveryPrefixAndSplit(t *testing.T) {
	for _, c := range validCases(t) {
		for i := range c.bytes {
			d := decoderFor(c.version, c.bytes)
			p := feed(t, d, c.bytes[:i])
			require.Nil(t, p, "%s %s: packet after %d bytes", c.version, c.name, i)
			require.Equal(t, i, d.Buffered())
			p = feed(t, d, c.bytes[i:])
			require.Equal(t, snapshot(values[c.name]), snapshot(p), "%s %s cut at %d", c.version, c.name, i)
			require.Zero(t, d.Buffered())
			require.Nil(t, feed(t, d, nil))
		}
	}
}

func TestByteByByte(t *testing.T) {
	for _, c := range validCases(t) {
		d := decoderFor(c.version, c.bytes)
		for round := range 2 { // the second packet uses the kept buffer
			for i := range c.bytes {
				p := feed(t, d, c.bytes[i:i+1])
				if i < len(c.bytes)-1 {
					require.Nil(t, p, "%s %s: packet after %d bytes", c.version, c.name, i)
					continue
				}
				require.Equal(t, snapshot(values[c.name]), snapshot(p), "%s %s round %d", c.version, c.name, round)
			}
		}
	}
}

// One flipped bit gives a packet that encodes to something the Decoder takes, or
// an error with a code that may be sent.
func TestEveryBitFlip(t *testing.T) {
	for _, c := range validCases(t) {
		for bit := range 8 * len(c.bytes) {
			b := bytes.Clone(c.bytes)
			b[bit/8] ^= 1 << (bit % 8)
			p, _, err := decodeOne(c.version, b)
			name := fmt.Sprintf("%s %s bit %d", c.version, c.name, bit)
			if err != nil {
				requireLegalError(t, err, name)
				continue
			}
			if p != nil {
				requireRoundTrip(t, p, c.version, name)
			}
		}
	}
}

func TestTruncatedBody(t *testing.T) {
	// The Remaining Length is right for fewer bytes, so the fields are cut off.
	for _, c := range validCases(t) {
		if len(c.bytes) > 127 || c.bytes[1] >= 0x80 {
			continue
		}
		for n := range len(c.bytes) - 2 {
			b := bytes.Clone(c.bytes[:2+n])
			b[1] = byte(n)
			p, _, err := decodeOne(c.version, b)
			if err != nil {
				requireLegalError(t, err, c.name)
				continue
			}
			requireRoundTrip(t, p, c.version, c.name)
		}
	}
}

// --- helpers ---

type validCase struct {
	version   Version
	canonical bool
	name      string
	bytes     []byte
}

func validCases(t testing.TB) (cases []validCase) {
	for _, line := range tableLines(t, "testdata/valid.txt") {
		left, right, ok := strings.Cut(line, "|")
		f := strings.Fields(left)
		require.True(t, ok && len(f) == 3, line)
		for _, v := range parseVersions(t, f[0]) {
			cases = append(cases, validCase{v, f[1] == "=", f[2], parseBytes(t, right)})
		}
	}
	return cases
}

func tableLines(t testing.TB, file string) (lines []string) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

func parseVersions(t testing.TB, s string) (vs []Version) {
	if s == "*" {
		return []Version{V31, V311, V50}
	}
	names := map[string]Version{"-": 0, "3.1": V31, "3.1.1": V311, "5.0": V50}
	for name := range strings.SplitSeq(s, ",") {
		v, ok := names[name]
		require.True(t, ok, "version %q", name)
		vs = append(vs, v)
	}
	return vs
}

// parseBytes reads hexadecimal pairs and 'text'.
func parseBytes(t testing.TB, s string) (b []byte) {
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			b = append(b, part...)
			continue
		}
		raw, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		require.NoError(t, err, s)
		b = append(b, raw...)
	}
	return b
}

func decoderFor(v Version, b []byte) *Decoder {
	d := NewDecoder(0)
	if len(b) == 0 || Type(b[0]>>4) != CONNECT {
		d.SetVersion(v)
	}
	return d
}

// decodeOne decodes the first packet of b and returns a copy of it and the number
// of bytes after it.
func decodeOne(v Version, b []byte) (Packet, int, error) {
	d := decoderFor(v, b)
	d.Feed(b)
	p, err := d.Next()
	if err != nil || p == nil {
		return nil, d.Buffered(), err
	}
	return snapshot(p), d.Buffered(), nil
}

func feed(t *testing.T, d *Decoder, b []byte) Packet {
	t.Helper()
	d.Feed(slices.Clone(b))
	p, err := d.Next()
	require.NoError(t, err)
	return p
}

// snapshot is a copy of p that does not alias the Decoder, with nil for the empty
// slices whose presence means nothing.
func snapshot(p Packet) Packet {
	switch p := p.(type) {
	case *Publish:
		q := *p
		q.Topic, q.Properties, q.Payload = some(p.Topic), some(p.Properties), some(p.Payload)
		return &q
	case *Puback:
		return &Puback{p.PacketID, p.ReasonCode, some(p.Properties)}
	case *Pubrec:
		return &Pubrec{p.PacketID, p.ReasonCode, some(p.Properties)}
	case *Pubrel:
		return &Pubrel{p.PacketID, p.ReasonCode, some(p.Properties)}
	case *Pubcomp:
		return &Pubcomp{p.PacketID, p.ReasonCode, some(p.Properties)}
	case *Connect:
		q := *p
		if q.Properties = some(p.Properties); p.Will != nil {
			w := *p.Will
			w.Payload, w.Properties = some(w.Payload), some(w.Properties)
			q.Will = &w
		}
		return &q
	}
	return p
}

func some[S ~[]byte](b S) S {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// requireRoundTrip checks decode(encode(p)) == p and Size.
func requireRoundTrip(t *testing.T, p Packet, v Version, name string) {
	t.Helper()
	if c, ok := p.(*Connect); ok {
		v = c.Version
	}
	b := p.AppendTo(nil, v)
	require.Equal(t, len(b), p.Size(v), name)
	q, rest, err := decodeOne(v, b)
	require.NoError(t, err, "%s: % x", name, b)
	require.Zero(t, rest, name)
	require.Equal(t, p, q, name)
}

func requireLegalError(t *testing.T, err error, name string) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e, name)
	require.NotEmpty(t, e.Reason, name)
	reply := DISCONNECT
	if e.Type == CONNECT {
		reply = CONNACK
	}
	require.True(t, e.Code.AllowedIn(reply, Server), "%s: %v in %v", name, e.Code, reply)
	if p := e.Reply(); p != nil {
		require.NoError(t, Validate(p, e.Version), name)
	}
	return e
}

// property of a test block.
type property func(Properties) Properties

func props(list ...property) (p Properties) {
	for _, add := range list {
		p = add(p)
	}
	return p
}

func num(id PropertyID, v uint32) property {
	return func(p Properties) Properties {
		switch id.info().kind {
		case kindByte:
			return AppendByte(p, id, byte(v))
		case kindUint16:
			return AppendUint16(p, id, uint16(v))
		case kindUint32:
			return AppendUint32(p, id, v)
		}
		return AppendVarint(p, id, v)
	}
}

func text(id PropertyID, s string) property {
	return func(p Properties) Properties {
		if id.info().kind == kindBinary {
			return AppendBinary(p, id, []byte(s))
		}
		return AppendString(p, id, s)
	}
}

func user(k, v string) property {
	return func(p Properties) Properties { return AppendUserProperty(p, k, v) }
}

// MQTT 5.0 section 1.5.5, table 1-1.
func TestVariableByteInteger(t *testing.T) { // MQTT-1.5.5-1
	for v, want := range map[int]string{
		0: "\x00", 127: "\x7F", 128: "\x80\x01", 16_383: "\xFF\x7F", 16_384: "\x80\x80\x01",
		2_097_151: "\xFF\xFF\x7F", 2_097_152: "\x80\x80\x80\x01", 268_435_455: "\xFF\xFF\xFF\x7F", 268_435_456: "\xFF\xFF\xFF\x7F",
	} {
		assert.Equal(t, want, string(AppendVariableByteInteger(nil, v)), v)
		assert.Equal(t, len(want), VariableByteIntegerSize(v), v)
	}
}
