package ngtcp2

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A reason that does not fit in a packet is cut: the peer still learns of the
// close.
func TestLongCloseReason(t *testing.T) {
	p := connect(t, options{})
	p.close(p.s, ApplicationClose(7, strings.Repeat("ü", 3000)))
	p.run(func() bool { return p.c.err != nil })
	assert.ErrorIs(t, p.c.err, ErrDraining)
	var e *ApplicationError
	require.ErrorAs(t, p.c.conn.CloseError(), &e)
	assert.Equal(t, strings.Repeat("ü", maxReason/2), e.Reason)
	assert.Equal(t, "x", cutReason("x"))
	assert.Len(t, cutReason("x"+strings.Repeat("ü", maxReason)), maxReason-1)
}

// A NEW_TOKEN frame that fits in no packet would hold up all streams.
func TestTokenTooLong(t *testing.T) {
	p := connect(t, options{})
	assert.ErrorIs(t, p.s.conn.SubmitNewToken(make([]byte, maxNewToken+1)), ErrInvalidArgument)
	require.NoError(t, p.s.conn.SubmitNewToken(make([]byte, maxNewToken)))
	id := p.c.open()
	p.c.write(id, []byte("x"), false)
	p.run(func() bool { return len(p.s.data[id]) == 1 })
	p.s.write(id, []byte("y"), false)
	p.runFor(time.Second)
	assert.Equal(t, "y", string(p.c.data[id]))
	assert.True(t, p.c.has(EventNewToken))
}

// ngtcp2 would abort the process on these.
func TestPacketsThatCannotBe(t *testing.T) {
	dst := make([]byte, MaxUDPPayloadSize)
	a, b := randomCID(8), randomCID(8)
	_, err := WriteRetry(dst, Retry{Version: VersionV1, SCID: a, ODCID: b})
	assert.ErrorIs(t, err, ErrInvalidArgument, "no token")
	_, err = WriteRetry(dst, Retry{Version: VersionV1, SCID: a, ODCID: a, Token: []byte("t")})
	assert.ErrorIs(t, err, ErrInvalidArgument, "the client could not tell it from its own choice")
	_, err = WriteConnectionCloseInitial(dst, InitialClose{Version: VersionV1, DCID: a, SCID: b, Code: 1 << 62})
	assert.ErrorIs(t, err, ErrInvalidArgument)
}
