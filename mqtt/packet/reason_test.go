package packet

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// legalCodes are the tables of chapter 3 of MQTT 5.0 once more, by packet and
// sender.
var legalCodes = []struct {
	statement string
	t         Type
	from      Role
	codes     string
}{
	{"MQTT-3.2.2-8", CONNACK, Server, "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F"},
	{"MQTT-3.4.2-1", PUBACK, Client, "00 10 80 83 87 90 91 97 99"},
	{"MQTT-3.4.2-1", PUBACK, Server, "00 10 80 83 87 90 91 97 99"},
	{"MQTT-3.5.2-1", PUBREC, Client, "00 10 80 83 87 90 91 97 99"},
	{"MQTT-3.5.2-1", PUBREC, Server, "00 10 80 83 87 90 91 97 99"},
	{"MQTT-3.6.2-1", PUBREL, Client, "00 92"},
	{"MQTT-3.6.2-1", PUBREL, Server, "00 92"},
	{"MQTT-3.7.2-1", PUBCOMP, Client, "00 92"},
	{"MQTT-3.7.2-1", PUBCOMP, Server, "00 92"},
	{"MQTT-3.9.3-2", SUBACK, Server, "00 01 02 80 83 87 8F 91 97 9E A1 A2"},
	{"MQTT-3.11.3-2", UNSUBACK, Server, "00 11 80 83 87 8F 91"},
	{"MQTT-3.14.2-1", DISCONNECT, Client, "00 04 80 81 82 83 90 93 94 95 96 97 98 99"},
	{"MQTT-3.14.2-1", DISCONNECT, Server, "80 81 82 83 87 89 8B 8C 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2"},
	{"MQTT-3.15.2-1", AUTH, Client, "18 19"},
	{"MQTT-3.15.2-1", AUTH, Server, "00 18"},
}

func TestReasonCodePlaces(t *testing.T) {
	want := map[Role][16]map[ReasonCode]bool{Client: {}, Server: {}}
	for _, row := range legalCodes {
		set := map[ReasonCode]bool{}
		for _, c := range parseBytes(t, row.codes) {
			set[ReasonCode(c)] = true
		}
		byType := want[row.from]
		byType[row.t] = set
		want[row.from] = byType
	}
	for typ := range Type(16) {
		for c := range 256 {
			code := ReasonCode(c)
			client, server := want[Client][typ][code], want[Server][typ][code]
			assert.Equal(t, client, code.AllowedIn(typ, Client), "%v client %v", typ, code)
			assert.Equal(t, server, code.AllowedIn(typ, Server), "%v server %v", typ, code)
			assert.Equal(t, client || server, code.AllowedIn(typ, Either), "%v %v", typ, code)
		}
	}
	assert.False(t, Success.AllowedIn(16, Either))
}

// The Decoder takes the codes of the table and refuses the others, 256 per packet.
func TestReasonCodesDecoded(t *testing.T) {
	auth := props(text(AuthenticationMethod, "m"))
	for _, row := range legalCodes {
		t.Run(row.statement+"/"+row.t.String(), func(t *testing.T) {
			for c := range 256 {
				p := carry(row.t, nil)
				switch p := p.(type) {
				case *Connack:
					p.ReasonCode = ReasonCode(c)
				case *Puback:
					p.ReasonCode = ReasonCode(c)
				case *Pubrec:
					p.ReasonCode = ReasonCode(c)
				case *Pubrel:
					p.ReasonCode = ReasonCode(c)
				case *Pubcomp:
					p.ReasonCode = ReasonCode(c)
				case *Suback:
					p.ReasonCodes = []ReasonCode{0, ReasonCode(c)}
				case *Unsuback:
					p.ReasonCodes = []ReasonCode{0, ReasonCode(c)}
				case *Disconnect:
					p.ReasonCode = ReasonCode(c)
				case *Auth:
					p.ReasonCode, p.Properties = ReasonCode(c), auth
				default:
					require.Fail(t, "no reason code in "+row.t.String())
				}
				want := Success
				if !ReasonCode(c).AllowedIn(row.t, Either) {
					want = ProtocolError
				}
				assert.Equal(t, want, decodeCode(t, p), "0x%02X", c)
			}
		})
	}
}

func TestReasonCodeText(t *testing.T) {
	assert.Equal(t, "Success (0x00)", NormalDisconnection.String())
	assert.Equal(t, "Wildcard Subscriptions not supported (0xA2)", WildcardSubscriptionsNotSupported.String())
	assert.Equal(t, "unknown reason code (0xFF)", ReasonCode(0xFF).String())
	known := 0
	for c := range 256 {
		if !strings.HasPrefix(ReasonCode(c).String(), "unknown") {
			known++
		}
	}
	assert.Equal(t, 43, known)
	assert.False(t, Reauthenticate.IsError())
	assert.True(t, UnspecifiedError.IsError())
}

func TestReturnCode(t *testing.T) {
	for r := ConnectionAccepted; r <= RefusedNotAuthorized; r++ {
		back, ok := r.ReasonCode().ReturnCode()
		assert.True(t, ok)
		assert.Equal(t, r, back)
		assert.True(t, r.ReasonCode().AllowedIn(CONNACK, Server))
	}
	assert.Equal(t, UnspecifiedError, ReturnCode(6).ReasonCode())
	for c, want := range map[ReasonCode]ReturnCode{
		Banned: RefusedNotAuthorized, ServerBusy: RefusedServerUnavailable, QuotaExceeded: RefusedServerUnavailable,
		ConnectionRateExceeded: RefusedServerUnavailable, BadAuthenticationMethod: RefusedNotAuthorized,
	} {
		r, ok := c.ReturnCode()
		assert.True(t, ok)
		assert.Equal(t, want, r)
	}
	// MQTT-3.2.2-6 of 3.1.1
	for _, c := range []ReasonCode{MalformedPacket, ProtocolError, PacketTooLarge, QoSNotSupported, RetainNotSupported, UnspecifiedError} {
		_, ok := c.ReturnCode()
		assert.False(t, ok, c)
		assert.Equal(t, []byte{0x20, 2, 0, 3}, (&Connack{ReasonCode: c}).AppendTo(nil, V311))
	}
}

func TestNames(t *testing.T) {
	assert.Equal(t, "CONNECT", CONNECT.String())
	assert.Equal(t, "AUTH", AUTH.String())
	assert.Equal(t, "invalid", Type(16).String())
	assert.Equal(t, "3.1 3.1.1 5.0 unknown", strings.Join([]string{V31.String(), V311.String(), V50.String(), Version(0).String()}, " "))
	assert.Equal(t, "MQIsdp", V31.ProtocolName())
	assert.Equal(t, "MQTT", V50.ProtocolName())
}
