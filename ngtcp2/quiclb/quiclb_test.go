package quiclb

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

const vectorKey = "8f95f09245765f80256934e50c66207f"

// The test vectors of draft-ietf-quic-load-balancers-21: the example of section 5.4.2 and
// appendix B. Of two of appendix B the draft misprints: the nonce in B.1 with "1" lacks a
// digit in its table, the first octet of the last one has config 0 where the table has 3.
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		name, key, sid, nonce, cid string
		id                         uint8
	}{
		{name: "B.1 plaintext", sid: "c4605e", nonce: "4504cc4f", cid: "07c4605e4504cc4f"},
		{name: "B.1 plaintext, odd", id: 1, sid: "350d28b420", nonce: "3487d9700b", cid: "2a350d28b4203487d9700b"},
		{name: "5.4.2 example", key: "fdf726a9893ec05c0632d3956680baf0", sid: "31441a", nonce: "9c69c275", cid: "0767947d29be054a"},
		{name: "B.2 four passes", key: vectorKey, sid: "ed793a", nonce: "ee080dbf", cid: "0720b1d07b359d3c"},
		{name: "B.2 server ID longer than nonce", key: vectorKey, id: 1, sid: "ed793a51d49b8f5fab65", nonce: "ee080dbf48", cid: "2fcc381bc74cb4fbad2823a3d1f8fed2"},
		{name: "B.2 single pass", key: vectorKey, id: 2, sid: "ed793a51d49b8f5f", nonce: "ee080dbf48c0d1e5", cid: "504dd2d05a7b0de9b2b9907afb5ecf8cc3"},
		{name: "B.2 18 bytes", key: vectorKey, id: 0, sid: "ed793a51d49b8f5fab", nonce: "ee080dbf48c0d1e55d", cid: "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"},
	} {
		t.Run(v.name, func(t *testing.T) {
			sid, nonce := unhex(t, v.sid), unhex(t, v.nonce)
			c, err := New(Config{ID: v.id, ServerID: sid, NonceLen: len(nonce), Key: unhex(t, v.key)})
			require.NoError(t, err)
			cid := c.Encode(nil, sid, nonce)
			assert.Equal(t, v.cid, hex.EncodeToString(cid))
			assert.Len(t, cid, c.Len())
			gotID, gotNonce, ok := c.Decode(append(cid, 1, 2, 3)) // of a short header
			require.True(t, ok)
			assert.Equal(t, v.sid, hex.EncodeToString(gotID))
			assert.Equal(t, v.nonce, hex.EncodeToString(gotNonce))
			_, _, ok = c.Decode(cid[:len(cid)-1])
			assert.False(t, ok, "too short")
			cid[0] ^= 0x20
			_, _, ok = c.Decode(cid)
			assert.False(t, ok, "another config")
		})
	}
}

func TestValidate(t *testing.T) {
	good := Config{ServerID: []byte{1}, NonceLen: 4}
	require.NoError(t, good.Validate())
	long := Config{ID: MaxID, ServerID: make([]byte, 15), NonceLen: 4, Key: make([]byte, KeyLen)}
	require.NoError(t, long.Validate())
	err := (&Config{ID: 7, NonceLen: 3, Key: []byte("short")}).Validate()
	for _, want := range []string{"Config.ID: 7: use 0 to 6", "Config.ServerID: 0 bytes", "Config.NonceLen: 3: use 4 to", "Config.Key: 5 bytes: use 16"} {
		assert.ErrorContains(t, err, want)
	}
	assert.ErrorContains(t, (&Config{ServerID: make([]byte, 10), NonceLen: 10}).Validate(), "use 4 to 9")
	_, err = New(Config{})
	require.Error(t, err)
	_, err = Servers(Config{}, 1)
	require.Error(t, err)
}

// every is one Config of each kind: plaintext and encrypted, of all lengths.
func every() (all []Config) {
	for block := 1 + MinNonceLen; block <= maxBlock; block++ {
		for sid := 1; sid <= min(MaxServerIDLen, block-MinNonceLen); sid++ {
			for _, key := range [][]byte{nil, []byte("0123456789abcdef")} {
				all = append(all, Config{ID: 5, ServerID: []byte("server-id-000000")[:sid], NonceLen: block - sid, Key: key})
			}
		}
	}
	return all
}

// Each worker's Connection IDs lead to it, at any other worker of its server, and to no
// other server. None comes twice.
func TestServers(t *testing.T) {
	const workers = 3
	for _, c := range every() {
		servers, err := Servers(c, workers)
		require.NoError(t, err)
		lb, err := New(c)
		require.NoError(t, err)
		other := c
		other.ServerID = []byte("SERVER-ID-000000")[:len(c.ServerID)]
		others, err := Servers(other, workers)
		require.NoError(t, err)
		seen := map[string]bool{}
		for n := range 5 * workers {
			cid := servers[n%workers].Append(nil)
			require.Len(t, cid, servers[0].Len())
			require.False(t, seen[string(cid)], "twice")
			seen[string(cid)] = true
			require.Equal(t, c.ID<<5|uint8(len(cid)-1), cid[0])
			sid, _, ok := lb.Decode(cid)
			require.True(t, ok)
			require.Equal(t, c.ServerID, sid)
			for _, at := range servers {
				worker, ok := at.Worker(cid)
				require.True(t, ok)
				require.Equal(t, n%workers, worker)
			}
			_, ok = others[0].Worker(cid)
			require.False(t, ok)
			_, ok = servers[0].Worker(cid[1:])
			require.False(t, ok)
		}
	}
}

// Without a key the nonces of a worker have nothing in common to look at.
func TestPlaintextNonceLooksRandom(t *testing.T) {
	servers, err := Servers(Config{ServerID: []byte{9}, NonceLen: 8}, 2)
	require.NoError(t, err)
	const n = 4096
	var ones [64]int
	for range n {
		cid := servers[1].Append(nil)
		for bit := range ones {
			ones[bit] += int(cid[2+bit/8] >> (bit % 8) & 1)
		}
	}
	for bit, count := range ones {
		assert.InDelta(t, n/2, count, n/10, "bit %d", bit)
	}
}

// When all nonces have been used none is used again: Connection IDs are unroutable then,
// but still lead to their worker.
func TestNoncesUsedUp(t *testing.T) {
	for _, key := range [][]byte{nil, []byte("0123456789abcdef")} {
		servers, err := Servers(Config{ServerID: []byte{1, 2, 3}, NonceLen: 4, Key: key}, 256)
		require.NoError(t, err)
		s := servers[255]
		assert.Equal(t, uint64(1<<24), s.left)
		s.left, s.next = 2, s.counters()-1
		assert.Zero(t, ID(s.Append(nil)))
		assert.Zero(t, ID(s.Append(nil)), "the counter goes on from 0")
		assert.Equal(t, uint64(1), s.next)
		cid := s.Append(nil)
		assert.Equal(t, uint8(UnroutableID), ID(cid))
		assert.Equal(t, byte(UnroutableID<<5|7), cid[0])
		worker, ok := servers[0].Worker(cid)
		assert.True(t, ok)
		assert.Equal(t, 255, worker)
		assert.NotEqual(t, cid, s.Append(nil))
	}
	assert.Equal(t, uint8(UnroutableID), ID(nil))
}

func TestAllocs(t *testing.T) {
	for _, c := range []Config{{ServerID: []byte{1}, NonceLen: 8}, {ServerID: []byte{1}, NonceLen: 8, Key: unhex(t, vectorKey)},
		{ServerID: []byte{1}, NonceLen: 15, Key: unhex(t, vectorKey)}} {
		servers, err := Servers(c, 2)
		require.NoError(t, err)
		buf := make([]byte, 0, 20)
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			buf = servers[0].Append(buf[:0])
			servers[1].Worker(buf)
		}))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x07, 1, 2, 3, 4, 5, 6, 7}, true)
	f.Add([]byte{0xff}, false)
	f.Fuzz(func(t *testing.T, cid []byte, encrypted bool) {
		c := Config{ServerID: []byte{1, 2, 3}, NonceLen: 4}
		if encrypted {
			c.Key = []byte("0123456789abcdef")
		}
		servers, err := Servers(c, 4)
		require.NoError(t, err)
		if worker, ok := servers[0].Worker(cid); ok && (worker < 0 || worker > 3) {
			t.Fatalf("worker %d", worker)
		}
		lb, err := New(c)
		require.NoError(t, err)
		if sid, nonce, ok := lb.Decode(cid); ok {
			again := lb.Encode(nil, bytes.Clone(sid), bytes.Clone(nonce))
			require.Equal(t, cid[1:lb.Len()], again[1:])
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	servers, err := Servers(Config{ServerID: []byte{1}, NonceLen: 8, Key: unhex(b, vectorKey)}, 2)
	require.NoError(b, err)
	buf := make([]byte, 0, 20)
	b.ReportAllocs()
	for b.Loop() {
		buf = servers[0].Append(buf[:0])
	}
}
