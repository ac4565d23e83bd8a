package topic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTreeMatchTable(t *testing.T) {
	for _, tt := range matches {
		var tree Tree[int, string]
		tree.Insert(tt.filter, 1, tt.filter)
		got := len(tree.Match([]byte(tt.name), nil)) == 1
		assert.Equal(t, tt.want, got, "%q %q", tt.filter, tt.name)
	}
}

func TestTreeReplace(t *testing.T) {
	var tree Tree[int, string]
	before := tree.Generation()
	_, replaced := tree.Insert("a/+", 1, "old")
	assert.False(t, replaced)
	old, replaced := tree.Insert("a/+", 1, "new")
	assert.True(t, replaced)
	assert.Equal(t, "old", old)
	assert.Equal(t, 1, tree.Len())
	assert.Equal(t, []string{"new"}, tree.Match([]byte("a/b"), nil))
	assert.Equal(t, before+2, tree.Generation())
}

func TestTreeRemoveComparesLiterally(t *testing.T) { // MQTT-3.10.4-1
	var tree Tree[int, int]
	tree.Insert("a/b", 1, 1)
	generation := tree.Generation()
	for _, filter := range []string{"a/+", "a/#", "#", "a", "a/b/c", "a/"} {
		_, ok := tree.Remove(filter, 1)
		assert.False(t, ok, filter)
	}
	_, ok := tree.Remove("a/b", 2)
	assert.False(t, ok)
	assert.Equal(t, generation, tree.Generation())
	_, ok = tree.Remove("a/b", 1)
	assert.True(t, ok)
	assert.True(t, tree.root.empty())
}

func TestTreeEmptyName(t *testing.T) {
	var tree Tree[int, int]
	tree.Insert("#", 1, 1)
	assert.Empty(t, tree.Match(nil, nil))
}

// random levels are few, so that filters and names often meet.
func randomTopic(r *rand.Rand, levels []string) string {
	s := make([]string, 1+r.IntN(4))
	for i := range s {
		s[i] = levels[r.IntN(len(levels))]
	}
	return strings.Join(s, "/")
}

func randomFilter(r *rand.Rand) string {
	f := randomTopic(r, []string{"", "a", "b", "$x", "+", "+"})
	if r.IntN(3) == 0 {
		f += "/#"
	}
	if r.IntN(20) == 0 {
		f = "#"
	}
	return f
}

func randomName(r *rand.Rand) string {
	for {
		if n := randomTopic(r, []string{"", "a", "b", "$x"}); n != "" {
			return n
		}
	}
}

func TestTreeAgainstModel(t *testing.T) {
	type sub struct {
		filter string
		key    int
	}
	r := rand.New(rand.NewPCG(1, 2))
	var tree Tree[int, sub]
	model := map[sub]bool{}
	for range 20_000 {
		s := sub{randomFilter(r), r.IntN(60)}
		if s.filter == "" {
			continue
		}
		if r.IntN(5) < 3 {
			_, replaced := tree.Insert(s.filter, s.key, s)
			require.Equal(t, model[s], replaced)
			model[s] = true
		} else {
			_, ok := tree.Remove(s.filter, s.key)
			require.Equal(t, model[s], ok)
			delete(model, s)
		}
		require.Equal(t, len(model), tree.Len())
		if r.IntN(20) > 0 {
			continue
		}
		name := randomName(r)
		want := map[sub]bool{}
		for s := range model {
			if naive(s.filter, name) {
				want[s] = true
			}
		}
		got := tree.Match([]byte(name), nil)
		require.Len(t, got, len(want), name)
		for _, s := range got {
			require.True(t, want[s])
		}
	}
	for s := range model {
		tree.Remove(s.filter, s.key)
	}
	assert.Zero(t, tree.Len())
	assert.True(t, tree.root.empty(), "removal leaves no nodes")
	assert.Nil(t, tree.root.children)
}

func TestTreeManySubscribersOfOneFilter(t *testing.T) {
	var tree Tree[int, int]
	for i := range 5000 {
		tree.Insert("a", i, i)
	}
	for i := range 4990 {
		_, ok := tree.Remove("a", i*7%4990)
		require.True(t, ok)
	}
	got := tree.Match([]byte("a"), nil)
	slices.Sort(got)
	assert.Equal(t, []int{4990, 4991, 4992, 4993, 4994, 4995, 4996, 4997, 4998, 4999}, got)
	assert.Less(t, cap(tree.root.children["a"].here.items), 200, "memory is given back")
}

func TestTreeConcurrent(t *testing.T) {
	var tree Tree[int, int]
	tree.Insert("a/#", -1, -1)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				tree.Insert(fmt.Sprintf("a/%d", i%10), g, i)
				tree.Remove(fmt.Sprintf("a/%d", (i+5)%10), g)
			}
		})
		wg.Go(func() {
			dst := make([]int, 0, 16)
			for range 500 {
				dst = tree.Match([]byte("a/3"), dst[:0])
				if !slices.Contains(dst, -1) {
					t.Error("a subscription that never changed was missed")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestTreeMatchDoesNotAllocate(t *testing.T) {
	tree := benchTree(1000)
	dst := make([]int, 0, 64)
	name := []byte("site/7/device/7/temperature")
	assert.Zero(t, testing.AllocsPerRun(100, func() { dst = tree.Match(name, dst[:0]) }))
	assert.NotEmpty(t, dst)
}

func FuzzFilter(f *testing.F) {
	for _, tt := range matches {
		f.Add(tt.filter, tt.name)
	}
	f.Add("$share/g/a", "a")
	f.Fuzz(func(t *testing.T, filter, name string) {
		filterErr, nameErr := ValidateFilter(filter), ValidateName(name)
		_, rest, err := ParseShare(filter)
		if filterErr != nil || nameErr != nil || err != nil {
			return
		}
		want := naive(rest, name)
		if Match(rest, name) != want {
			t.Fatalf("Match(%q, %q) = %v", rest, name, !want)
		}
		var tree Tree[int, int]
		tree.Insert(rest, 1, 1)
		tree.Insert(rest, 2, 1)
		if n := len(tree.Match([]byte(name), nil)); n != 0 && n != 2 || (n == 2) != want {
			t.Fatalf("Tree: %q %q: %d", rest, name, n)
		}
		tree.Remove(rest, 1)
		tree.Remove(rest, 2)
		if !tree.root.empty() {
			t.Fatalf("Tree: %q leaves nodes", rest)
		}
		fuzzNames(t, rest, name, want)
	})
}

func fuzzNames(t *testing.T, filter, name string, want bool) {
	var names Names[int]
	names.Set([]byte(name), 1)
	found := false
	for _, ok := range names.Match(filter) {
		found = found || ok
	}
	if found != want {
		t.Fatalf("Names: %q %q: %v", filter, name, found)
	}
	if _, ok := names.Delete([]byte(name)); !ok || names.root.children != nil {
		t.Fatalf("Names: %q leaves nodes", name)
	}
}
