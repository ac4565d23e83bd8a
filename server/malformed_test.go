package server_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// outrage is a packet that has to be refused, on a connection of one version.
type outrage struct {
	name    string
	version packet.Version // 0: before the CONNECT
	code    packet.ReasonCode
	bytes   []byte
}

// misuse are packets that are well formed and that no client may send to this server;
// the format is that of the table of the codec.
var misuse = []string{
	"* 82 MQTT-3.1.0-2 second-connect | 10 0D 00 04 'MQTT' 05 02 00 00 00 00 00",
	"* 82 2.1.2 connack | 20 03 00 00 00", "3.1,3.1.1 82 2.2.1 connack | 20 02 00 00",
	"5.0 82 2.1.2 suback | 90 04 00 01 00 00", "3.1,3.1.1 82 2.2.1 suback | 90 03 00 01 00",
	"5.0 82 2.1.2 unsuback | B0 04 00 01 00 00", "3.1,3.1.1 82 2.2.1 unsuback | B0 02 00 01",
	"* 82 2.1.2 pingresp | D0 00",
	"5.0 82 MQTT-4.12.0-1 auth-without-method | F0 02 18 00",
	"5.0 82 MQTT-3.3.4-6 subscription-id | 30 06 00 01 't' 02 0B 01",
	"5.0 94 MQTT-3.3.2-8 alias-0 | 30 07 00 01 't' 03 23 00 00",
	"5.0 94 MQTT-3.3.2-9 alias-above-maximum | 30 07 00 01 't' 03 23 FF FF",
	"5.0 82 3.3.2.3.4 alias-unknown | 30 06 00 00 03 23 00 01",
	"5.0 82 3.14.2.1 disconnect-of-a-server | E0 01 8B",
	"5.0 82 3.14.2.2.2 expiry-after-none | E0 07 00 05 11 00 00 00 01",
	"* 95 3.1.2.11.4 larger-than-announced | 30 FF FF FF 7F",
}

// outrages are the tables.
func outrages(t *testing.T) (list []outrage) {
	table, err := os.ReadFile("../mqtt/packet/testdata/malformed.txt")
	require.NoError(t, err)
	lines := misuse
	for line := range strings.Lines(string(table)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	versions := map[string][]packet.Version{
		"*": {packet.V31, packet.V311, packet.V50}, "-": {0}, "3.1": {packet.V31}, "3.1.1": {packet.V311}, "5.0": {packet.V50},
	}
	for i, line := range lines {
		left, right, _ := strings.Cut(line, "|")
		f := strings.Fields(left)
		require.Len(t, f, 4, line)
		code, err := strconv.ParseUint(f[1], 16, 8)
		require.NoError(t, err)
		o := outrage{name: f[2] + "/" + f[3], code: packet.ReasonCode(code), bytes: tableBytes(t, right)}
		for v := range strings.SplitSeq(f[0], ",") {
			for _, o.version = range versions[v] {
				list = append(list, o)
			}
		}
		if i >= len(misuse) && packet.Type(o.bytes[0]>>4) == packet.CONNECT { // once, before the CONNECT
			last := &list[len(list)-1]
			last.version = 0
			list = append(list[:len(list)-countVersions(f[0])], *last)
		}
	}
	return list
}

func countVersions(s string) int {
	if s == "*" {
		return 3
	}
	return 1 + strings.Count(s, ",")
}

// tableBytes reads hexadecimal pairs and 'text'.
func tableBytes(t *testing.T, s string) (b []byte) {
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

// answer is what the server has to send before it closes the connection: bytes that the
// answer begins with, none for nothing at all.
func (o *outrage) answer() []byte {
	level5 := []byte("\x00\x04MQTT\x05")
	switch {
	case o.version == packet.V50:
		return []byte{0xE0, byte(o.code)}
	case o.version != 0 || o.bytes[0] != 0x10:
		return nil
	case o.code == packet.UnsupportedProtocolVersion && bytes.Contains(o.bytes, []byte("\x00\x04MQTT")) && o.bytes[8] > 5 && o.bytes[8] != 0x83 && o.bytes[8] != 0x84:
		return []byte{0x20, 0x84}
	case o.code == packet.UnsupportedProtocolVersion:
		return []byte{0x20, 1}
	case bytes.Contains(o.bytes, level5):
		return []byte{0x20, byte(o.code)}
	case o.code == packet.ClientIdentifierNotValid:
		return []byte{0x20, 2}
	}
	return nil
}

// Whatever a client sends that it must not send, the server answers with the code of
// the standard, closes the connection and serves others.
func TestMalformedPackets(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	list := outrages(t)
	require.Greater(t, len(list), 300)
	for _, transport := range []string{"tcp", favourite} {
		witness := connected(t, s, transport, packet.V50, "witness")
		for i := range list {
			o := &list[i]
			if transport != "tcp" && (o.version == packet.V31 || o.version == packet.V311) {
				continue // the same code, and each handshake takes time
			}
			t.Run(fmt.Sprintf("%s/%s/%s", transport, o.version, o.name), func(t *testing.T) { o.commit(t, s, transport) })
		}
		witness.Ping()
	}
}

func (o *outrage) commit(t *testing.T, s *running, transport string) {
	conn := s.dial(t, transport)
	defer conn.Close()
	if o.version != 0 {
		mqtttest.New(t, conn, o.version).ConnectAs("outrage")
	}
	conn.Write(o.bytes)
	got := untilEnd(t, conn)
	want := o.answer()
	if want == nil {
		assert.Empty(t, got, "bytes of an answer")
		return
	}
	require.NotEmpty(t, got, "no answer")
	assert.Equal(t, want[0], got[0], "type of the answer")
	at := 2 // the code of a DISCONNECT
	if want[0] == 0x20 {
		at = 3
	}
	if assert.Greater(t, len(got), at) {
		assert.Equal(t, packet.ReasonCode(want[1]), packet.ReasonCode(got[at]))
	}
	assert.Len(t, got, 2+int(got[1]), "one packet and nothing more")
}

// untilEnd reads to the end of the connection.
func untilEnd(t *testing.T, conn net.Conn) (b []byte) {
	conn.SetReadDeadline(time.Now().Add(mqtttest.Patience))
	chunk := make([]byte, 512)
	for {
		n, err := conn.Read(chunk)
		b = append(b, chunk[:n]...)
		if err != nil {
			assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection stays")
			return b
		}
	}
}
