package stream

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	v2TCP4 = proxySignature + "\x21\x11\x00\x0c\x01\x02\x03\x04\x7f\x00\x00\x01\x30\x39\x07\x5b"
	v2TCP6 = proxySignature + "\x21\x21\x00\x26" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x30\x39\x07\x5b\x04\x00" // and a TLV
)

func TestProxyHeader(t *testing.T) {
	for header, want := range map[string][2]string{
		"PROXY TCP4 1.2.3.4 127.0.0.1 12345 1883\r\n":       {"1.2.3.4:12345", "127.0.0.1:1883"},
		"PROXY TCP6 2001:db8::1 2001:db8::2 12345 1883\r\n": {"[2001:db8::1]:12345", "[2001:db8::2]:1883"},
		"PROXY UNKNOWN\r\n":                             {},
		"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n": {},
		v2TCP4:                              {"1.2.3.4:12345", "127.0.0.1:1883"},
		v2TCP6:                              {"[2001:db8::1]:12345", "[2001:db8::2]:1883"},
		proxySignature + "\x20\x00\x00\x00": {}, // LOCAL
		proxySignature + "\x21\x31\x00\xd8" + strings.Repeat("x", 216): {}, // Unix socket
	} {
		r := strings.NewReader(header + "MQTT")
		ends, err := readProxyHeader(r)
		require.NoError(t, err, "%q", header)
		if want[0] == "" {
			assert.Equal(t, endpoints{}, ends)
		} else {
			assert.Equal(t, endpoints{netip.MustParseAddrPort(want[0]), netip.MustParseAddrPort(want[1])}, ends)
		}
		rest, _ := io.ReadAll(r)
		assert.Equal(t, "MQTT", string(rest), "what follows is not touched: %q", header)
		for n := range len(header) {
			_, err := readProxyHeader(strings.NewReader(header[:n]))
			assert.Error(t, err, "%q", header[:n])
		}
	}
}

func TestBadProxyHeader(t *testing.T) {
	for _, header := range []string{
		"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00", "GET /mqtt HTTP/1.1\r\n",
		"PROXY TCP4 1.2.3.4 127.0.0.1 12345\r\n", "PROXY TCP4 1.2.3.4 127.0.0.1 12345 70000\r\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4  127.0.0.1 1 2\r\n", "PROXY \r\n\r\n\r\n\r\n", "PROXY " + strings.Repeat("x", 200),
		proxySignature + "\x11\x11\x00\x0c", proxySignature + "\x22\x11\x00\x0c" + strings.Repeat("x", 12),
		proxySignature + "\x21\x11\x00\x0b" + strings.Repeat("x", 11), proxySignature + "\x21\x21\x00\x0c" + strings.Repeat("x", 12),
		proxySignature + "\x21\x11\xff\xff" + strings.Repeat("x", 1<<16),
	} {
		_, err := readProxyHeader(strings.NewReader(header))
		assert.Error(t, err, "%q", header)
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add("PROXY TCP4 1.2.3.4 127.0.0.1 12345 1883\r\n")
	f.Add(v2TCP4)
	f.Add(v2TCP6)
	f.Fuzz(func(t *testing.T, header string) {
		ends, err := readProxyHeader(strings.NewReader(header))
		if err != nil && ends != (endpoints{}) {
			t.Fatal("addresses of a header with an error")
		}
		if ends.remote.IsValid() != ends.local.IsValid() || ends.remote.Addr().Is4In6() {
			t.Fatalf("ends %v", ends)
		}
	})
}

func TestRecognise(t *testing.T) {
	for bytes, want := range map[string]string{
		"": "", "\x10\x0c": heardMQTT, "\x16\x03\x01": heardTLS, "\x16": "", "GET / HTTP": heardHTTP, "GE": "", "POST": heardHTTP,
		"PUBLISH": "", "PROXY TCP4": heardProxy, v2TCP4: heardProxy, "\x30\x01": "", "OPTIO": heardHTTP,
	} {
		assert.Equal(t, want, recognise([]byte(bytes)), "%q", bytes)
	}
	assert.Empty(t, misdirected([]byte("\x10\x0c"), speaksMQTT))
	assert.Empty(t, misdirected([]byte("GET /mqtt"), speaksHTTP))
	assert.Contains(t, misdirected([]byte("GET /mqtt"), speaksMQTT), "--ws")
}
