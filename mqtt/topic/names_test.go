package topic

import (
	"fmt"
	"iter"
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
		for _, ok := range names.Match(tt.filter) {
			got = got || ok
		}
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
		for s, ok := range names.Match(filter) {
			if ok {
				require.False(t, got[s], "found twice")
				got[s] = true
			}
		}
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
		for range names.Match(filter) {
			n++
			break
		}
		assert.Equal(t, 1, n, filter)
	}
}

// Every node that is looked at is told, so that the work can be limited.
func TestNamesMatchCounts(t *testing.T) {
	var names Names[int]
	for i := range 100 {
		names.Set(fmt.Append(nil, i), i)
		names.Set(fmt.Append(nil, i, "/a"), i)
	}
	names.Set([]byte("$a/b"), 0)
	for filter, want := range map[string][2]int{
		"+/x": {101, 0}, "+/a": {201, 100}, "#": {201, 200}, "7/a": {2, 1}, "7/#": {2, 2}, "+": {101, 100}, "none": {0, 0},
	} {
		looked, found := 0, 0
		for _, ok := range names.Match(filter) {
			looked++
			if ok {
				found++
			}
		}
		assert.Equal(t, want, [2]int{looked, found}, filter)
	}
}

// What changes between two steps of a Match does not touch the rest.
func TestNamesChangeDuringMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var names Names[string]
		stays := map[string]int{}
		for range 200 {
			name := randomName(r)
			names.Set([]byte(name), name)
			stays[name] = 0
		}
		filter := randomFilter(r)
		if filter == "" {
			continue
		}
		got := map[string]int{}
		next, stop := iter.Pull2(names.Match(filter))
		for name, ok, more := next(); more; name, ok, more = next() {
			if ok {
				got[name]++
			}
			gone := randomName(r)
			names.Delete([]byte(gone))
			delete(stays, gone)
			come := randomName(r)
			if _, known := stays[come]; !known {
				names.Set([]byte(come), come)
			}
		}
		stop()
		for name := range stays {
			want := 0
			if naive(filter, name) {
				want = 1
			}
			require.Equal(t, want, got[name], "%q %q", filter, name)
		}
	}
}
