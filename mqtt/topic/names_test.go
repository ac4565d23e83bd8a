package topic

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNamesMatchTable(t *testing.T) {
	for _, tt := range matches {
		var names Names[string]
		names.Set([]byte(tt.name), tt.name)
		got := false
		names.Match(tt.filter, func(string) bool { got = true; return true })
		assert.Equal(t, tt.want, got, "%q %q", tt.filter, tt.name)
	}
}

func TestNamesAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var names Names[string]
	model := map[string]bool{}
	for range 20_000 {
		name := randomName(r)
		if r.IntN(2) == 0 {
			old, replaced := names.Set([]byte(name), name)
			require.Equal(t, model[name], replaced)
			require.Equal(t, replaced, old != "")
			model[name] = true
		} else {
			_, ok := names.Delete([]byte(name))
			require.Equal(t, model[name], ok)
			delete(model, name)
		}
		require.Equal(t, len(model), names.Len())
		v, ok := names.Find([]byte(name))
		require.Equal(t, model[name], ok)
		require.Equal(t, ok, v == name)
		filter := randomFilter(r)
		if filter == "" || r.IntN(20) > 0 {
			continue
		}
		got := map[string]bool{}
		names.Match(filter, func(s string) bool {
			require.False(t, got[s], "visited twice")
			got[s] = true
			return true
		})
		for s := range model {
			require.Equal(t, naive(filter, s), got[s], "%q %q", filter, s)
			delete(got, s)
		}
		require.Empty(t, got)
	}
	for name := range model {
		names.Delete([]byte(name))
	}
	assert.Zero(t, names.Len())
	assert.Zero(t, names.Nodes())
	assert.Nil(t, names.root.children, "removal leaves no nodes")
}

func TestNamesMatchStops(t *testing.T) {
	var names Names[int]
	for i, name := range []string{"a", "a/b", "a/b/c", "a/d", "e"} {
		names.Set([]byte(name), i)
	}
	for _, filter := range []string{"#", "a/#", "+/#", "a/+/#", "+", "a/+", "a"} {
		n := 0
		names.Match(filter, func(int) bool { n++; return false })
		assert.Equal(t, 1, n, filter)
	}
}
