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
	bad := Dialer{TLS: TLS{CertFile: "x"}}
	_, err = bad.Dial(within(t), url)
	assert.ErrorContains(t, err, "KeyFile")
}
