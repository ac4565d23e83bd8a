package output

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

var now = time.Date(2026, time.November, 1, 7, 4, 5, 6007000, time.FixedZone("CET", 3600))

// full is the message whose output was taken from mosquitto_sub 2.0.11.
func full(payload string) client.Message {
	p := packet.AppendUserProperty(nil, "a", "b")
	p = packet.AppendUserProperty(p, "c", "d")
	p = packet.AppendString(p, packet.ContentType, "text/plain")
	p = packet.AppendBinary(p, packet.CorrelationData, []byte("zz"))
	p = packet.AppendString(p, packet.ResponseTopic, "re/sp")
	p = packet.AppendByte(p, packet.PayloadFormatIndicator, 1)
	p = packet.AppendUint32(p, packet.MessageExpiryInterval, 77)
	return client.Message{Topic: "x/y", Payload: []byte(payload), QoS: 1, PacketID: 1, Properties: p}
}

func printed(t *testing.T, format string, pretty bool, m client.Message) string {
	t.Helper()
	f, err := Parse(format, pretty)
	require.NoError(t, err, format)
	out, err := f.Append(nil, m, now)
	require.NoError(t, err, format)
	return string(out)
}

func TestConversions(t *testing.T) {
	for format, want := range map[string]string{
		"%t %p":                             "x/y hello",
		"[%-10t][%10t][%10.2t][%.2t]":       "[x/y       ][       x/y][        x/][x/]",
		"[%05l][%-5l][%l]":                  "[00005][5    ][5]",
		"[%010A][%5A][%A][%5S]":             "[0000000000][     ][][     ]",
		"[%8C][%20C][%05E][%5F][%D]":        "[text/plain][          text/plain][00077][    1][zz]",
		"[%m][%5m][%P][%q][%R][%r]":         "[1][    1][a:b c:d][1][re/sp][0]",
		"[%x][%10x][%X][%4x]":               "[68656c6c6f][      6865][68656C6C6F][6865]",
		"[%5p][%-8p][%08p][%3p]":            "[hello][hello   ][000hello][hel]",
		`a\tb\n\e\a\v\0\r\\@@ %%`:           "a\tb\n\x1b\a\v\x00\r\\@ %",
		"%I|%28I|%U":                        "2026-11-01T07:04:05+0100|    2026-11-01T07:04:05+0100|1793513045.006007000",
		"@Y-@m-@d @H:@M:@S.@N @z @Z @@":     "2026-11-01 07:04:05.006007000 +0100 CET @",
		"@a @A @b @B @h @e @j @y @C @n@t@%": "Sun Sunday Nov November Nov  1 305 26 20 \n\t%",
		"@c|@D|@F|@T|@R|@r|@x|@X":           "Sun Nov  1 07:04:05 2026|11/01/26|2026-11-01|07:04:05|07:04|07:04:05 AM|11/01/26|07:04:05",
		"@G @g @V @U @W @u @w @k @l @p @P":  "2026 26 44 44 43 7 0  7  7 AM am",
		"@s @I":                             "1793513045 07",
	} {
		assert.Equal(t, want, printed(t, format, false, full("hello")), format)
	}
	assert.Equal(t, "[][  ][][][1]", printed(t, "[%C][%2C][%R][%P][%r]", false, client.Message{Retain: true}))
}

func TestJSON(t *testing.T) {
	head := `{"tst":"2026-11-01T07:04:05.006007Z+0100","topic":"x/y","qos":1,"retain":0,"payloadlen":`
	props := `,"mid":1,"properties":{"user-properties":{"a":"b","c":"d"},"content-type":"text/plain","correlation-data":"zz",` +
		`"response-topic":"re/sp","payload-format-indicator":1,"message-expiry-interval":77},"payload":`
	for _, k := range []struct{ format, payload, length, want string }{
		{"%j", "hello \"w\"\\ \u00e9\ttab\x01", "18", `"hello \"w\"\\ é\ttab\u0001"`},
		{"%j", "", "0", "null"},
		{"%j", "\xff\x00", "2", "[255,0]"},
		{"%J", `{"b":1.50,"a":[1, 2,{}], "x":"é/\u00e9","t":true,"n":null,"e":1e3,"f":0.1,"h":1e300,"i":123456789012345678}`, "108",
			`{"b":1.5,"a":[1,2,{}],"x":"é/é","t":true,"n":null,"e":1000,"f":0.1,"h":1e+300,"i":1.2345678901234568e+17}`},
		{"%J", "", "0", "null"},
	} {
		assert.Equal(t, head+k.length+props+k.want+"}", printed(t, k.format, false, full(k.payload)), k.payload)
	}
	assert.Equal(t, `{"tst":"2026-11-01T07:04:05.006007Z+0100","topic":"","qos":0,"retain":1,"payloadlen":0,"payload":null}`,
		printed(t, "%j", false, client.Message{Retain: true}))
}

func TestPrettyJSON(t *testing.T) {
	m := full(`{"b":[1,2,{"q":[]}],"e":{}}`)
	m.Properties = nil
	want := "{\n\t\"tst\":\t\"2026-11-01T07:04:05.006007Z+0100\",\n\t\"topic\":\t\"x/y\",\n\t\"qos\":\t1,\n\t\"retain\":\t0,\n" +
		"\t\"payloadlen\":\t27,\n\t\"mid\":\t1,\n\t\"payload\":\t{\n\t\t\"b\":\t[1, 2, {\n\t\t\t\t\"q\":\t[]\n\t\t\t}],\n\t\t\"e\":\t{\n\t\t}\n\t}\n}"
	assert.Equal(t, want, printed(t, "%J", true, m))
}

func TestPayloadThatIsNoJSON(t *testing.T) {
	f, err := Parse("<%J>", false)
	require.NoError(t, err)
	for _, payload := range []string{"nojson", "{", `{"a"}`, "[1", "1 2", `{"a":1}}`, strings.Repeat("[", 2000), "\x00"} {
		out, err := f.Append(nil, full(payload), now)
		assert.ErrorContains(t, err, "not valid JSON on topic x/y", payload)
		assert.Equal(t, "<>", string(out))
	}
}

func TestWrongFormats(t *testing.T) {
	for format, want := range map[string]string{
		"%": "must follow %", "%5": "must follow %", "%-": "must follow %", "%Z": "%Z is unknown", "%0-12t": "%- is unknown",
		"@": "must follow @", "@Q": "strftime knows no %Q", `a\`: "must follow", `\q`: "is unknown", "%99999999999t": "is more than",
	} {
		_, err := Parse(format, false)
		assert.ErrorContains(t, err, want, format)
	}
}

func FuzzFormat(f *testing.F) {
	f.Add("%-010.3t %J @c \\n", []byte(`{"a":[1]}`))
	f.Fuzz(func(t *testing.T, format string, payload []byte) {
		p, err := Parse(format, true)
		if err == nil && len(format) < 100 {
			_, _ = p.Append(nil, full(string(payload)), now)
		}
	})
}
