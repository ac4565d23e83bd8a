package topic

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// benchTree has n subscriptions: of devices, a tenth of them with wildcards.
func benchTree(n int) *Tree[int, int] {
	var tree Tree[int, int]
	tree.Insert("site/+/device/7/#", -1, -1)
	for i := 1; i < n; i++ {
		filter := fmt.Sprintf("site/%d/device/%d/temperature", i%1000, i)
		if i%10 == 0 {
			filter = fmt.Sprintf("site/%d/+/%d/#", i%1000, i)
		}
		tree.Insert(filter, i, i)
	}
	return &tree
}

func BenchmarkTreeMatch(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tree := benchTree(n)
			name := []byte("site/7/device/7/temperature")
			dst := make([]int, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				dst = tree.Match(name, dst[:0])
			}
		})
	}
}

func BenchmarkTreeInsertRemove(b *testing.B) {
	tree := benchTree(100_000)
	b.ReportAllocs()
	for b.Loop() {
		tree.Insert("site/1/device/x/temperature", 1, 1)
		tree.Remove("site/1/device/x/temperature", 1)
	}
}

// BenchmarkTreeMatchWildcards is the worst that 4,096 subscriptions can do: all their
// filters, "a" or "+" at each of twelve levels, match.
func BenchmarkTreeMatchWildcards(b *testing.B) {
	const levels = 12
	var tree Tree[int, int]
	for i := range 1 << levels {
		filter := make([]string, levels)
		for j := range filter {
			filter[j] = "a+"[i>>j&1:][:1]
		}
		tree.Insert(strings.Join(filter, "/"), i, i)
	}
	name := []byte(strings.Repeat("a/", levels-1) + "a")
	dst := make([]int, 0, 1<<levels)
	b.ReportAllocs()
	for b.Loop() {
		dst = tree.Match(name, dst[:0])
	}
	b.ReportMetric(float64(len(dst)), "matches/op")
}

// benchNames has a million names: of 1,000 devices at each of 1,000 sites.
func benchNames() *Names[int] {
	var names Names[int]
	for i := range 1_000_000 {
		names.Set(fmt.Appendf(nil, "site/%d/device/%d", i%1000, i/1000), i)
	}
	return &names
}

// BenchmarkNamesMatch looks for filters among a million names. B/name is what they take
// in memory, without their values.
func BenchmarkNamesMatch(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	names := benchNames()
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, filter := range []string{"site/7/device/7", "site/7/device/+", "site/+/device/7", "site/7/#", "+/+/+/+", "#"} {
		b.Run(strings.ReplaceAll(filter, "/", "_"), func(b *testing.B) {
			matches := 0
			for b.Loop() {
				matches = 0
				for _, ok := range names.Match(filter) {
					if ok {
						matches++
					}
				}
			}
			b.ReportMetric(float64(matches), "matches/op")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(names.Len()), "B/name")
		})
	}
}
