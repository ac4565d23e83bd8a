package client

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDialer(t *testing.T) {
	url, accept := listen(t)
	var d Dialer
	nc, err := d.Dial(within(t), url)
	require.NoError(t, err)
	defer nc.Close()
	s := accept()
	_, err = nc.Write([]byte("hello"))
	require.NoError(t, err)
	b := make([]byte, 5)
	_, err = s.nc.Read(b)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(b))

	_, err = d.Dial(within(t), "http://h")
	assert.ErrorContains(t, err, "scheme")
	for _, tls := range []TLS{{CAFile: "ca.pem"}, {CADir: "dir"}, {CAPEM: []byte("pem")}, {CertFile: "c", KeyFile: "k"}} {
		d := Dialer{TLS: tls}
		_, err := d.Dial(within(t), url)
		assert.ErrorContains(t, err, "use mqtts://")
		_, err = d.Dial(within(t), "ws://h")
		assert.ErrorContains(t, err, "use wss://")
	}
	bad := Dialer{TLS: TLS{CertFile: "x"}}
	_, err = bad.Dial(within(t), "mqtts://h")
	assert.ErrorContains(t, err, "KeyFile")
}
