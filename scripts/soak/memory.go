package main

import (
	"fmt"
	"strings"
	"time"
)

// What the server may hold, beyond what it had at its start, when all clients are gone.
// Measured: see doc.go.
const (
	// goSlack and goPerClient bound the Go heap, in bytes: pools, and maps, which do not shrink.
	goSlack     = 8 << 20
	goPerClient = 4 << 10
	// cSlack bounds ngtcp2's heap, in bytes: buffers of the workers, which have grown.
	cSlack     = 1 << 20
	goroutines = 4
	files      = 4
	// rssSlack and rssPerClient bound what the allocators keep of what was in use, in bytes.
	rssSlack     = 64 << 20
	rssPerClient = 64 << 10
	// rssGrowth is by how much the RSS under load may be larger in the last quarter of the
	// time than in the second one, beside rssNoise bytes.
	rssGrowth = 1.15
	rssNoise  = 24 << 20
	// emptyTime is how long the server may take to let go of what it had.
	emptyTime = 60 * time.Second
	pollTime  = time.Second
)

// bound is the most that a counter of the server may be.
type bound struct {
	name string
	most float64
}

// bounds are those after the load, for a server with start before it.
func bounds(start map[string]float64, clients int) []bound {
	all := []bound{
		{"go_heap", start["go_heap"] + goSlack + goPerClient*float64(clients)}, {"native_heap", start["native_heap"] + cSlack},
		{"goroutines", start["goroutines"] + goroutines}, {"files", start["files"] + files},
		{"rss", start["rss"] + rssSlack + rssPerClient*float64(clients)},
	}
	for _, name := range []string{"connections", "clients", "sessions", "subscriptions", "offline_bytes"} {
		all = append(all, bound{name, start[name]})
	}
	return all
}

// emptied waits until the server is within all bounds; exceeded says where it is not.
func emptied(s *server, all []bound) (end map[string]float64, exceeded string, err error) {
	for begun := time.Now(); ; time.Sleep(pollTime) {
		if end, err = s.counters(); err != nil {
			return nil, "", err
		}
		if exceeded = above(end, all); exceeded == "" || time.Since(begun) > emptyTime {
			return end, exceeded, nil
		}
	}
}

func above(have map[string]float64, all []bound) string {
	var wrong []string
	for _, b := range all {
		if have[b.name] > b.most {
			wrong = append(wrong, fmt.Sprintf("%s is %.0f, at most %.0f", b.name, have[b.name], b.most))
		}
	}
	return strings.Join(wrong, "; ")
}

// grown judges the RSS samples of the time under load; "" when it is flat.
func grown(samples []float64) string {
	quarter := len(samples) / 4
	if quarter < 2 {
		return "" // too short to tell
	}
	before, after := mean(samples[quarter:2*quarter]), mean(samples[len(samples)-quarter:])
	if after <= before*rssGrowth+rssNoise {
		return ""
	}
	return fmt.Sprintf("memory is not flat under load: RSS was %.1f MB in the second quarter of the time, %.1f MB in the last", before/1e6, after/1e6)
}

func mean(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(len(values), 1))
}
