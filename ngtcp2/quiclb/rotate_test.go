package quiclb

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server makes Connection IDs of the new Config, and knows those of the old ones, which
// lead to the worker that made them.
func TestRotate(t *testing.T) {
	first := Config{ID: 1, ServerID: []byte{7, 7}, NonceLen: 8, Key: []byte("0123456789abcdef")}
	second, third := first, first
	second.ID, second.Key = 2, []byte("fedcba9876543210")
	third.ID, third.Key = 3, nil
	servers, err := Servers(first, 3)
	require.NoError(t, err)
	made := map[string]int{}
	for _, c := range []Config{first, second, third, first} {
		lb, err := New(c)
		require.NoError(t, err)
		for worker, s := range servers {
			if len(made) > 0 {
				require.NoError(t, s.Rotate(c))
			}
			cid := s.Append(nil)
			id, _, ok := lb.Decode(cid)
			require.True(t, ok)
			require.Equal(t, c.ServerID, id)
			made[string(cid)] = worker
		}
	}
	require.Len(t, made, 12)
	for cid, worker := range made {
		for _, s := range servers {
			got, ok := s.Worker([]byte(cid))
			require.True(t, ok)
			require.Equal(t, worker, got)
		}
	}
	unknown := []byte{5<<5 | 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	_, ok := servers[0].Worker(unknown)
	assert.False(t, ok)
	assert.Error(t, servers[0].Rotate(Config{}))
}

func TestCheckRotation(t *testing.T) {
	old := Config{ID: 1, ServerID: []byte{7, 7}, NonceLen: 8, Key: []byte("0123456789abcdef")}
	good := old
	good.ID = 2
	require.NoError(t, CheckRotation(old, good))
	for want, c := range map[string]Config{
		"Config.ID: the same":          old,
		"Config.ServerID: not the one": {ID: 2, ServerID: []byte{7}, NonceLen: 8},
		"Config.NonceLen: not the one": {ID: 2, ServerID: old.ServerID, NonceLen: 9},
		"Config.Key: 1 bytes: use 16":  {ID: 2, ServerID: old.ServerID, NonceLen: 8, Key: []byte{1}},
		"Config.ID: 9: use 0 to 6":     {ID: 9, ServerID: old.ServerID, NonceLen: 8},
	} {
		assert.ErrorContains(t, CheckRotation(old, c), want)
	}
}
