//go:build race

package broker

// raceEnabled: the race detector makes sync.Pool forget on purpose, so that nothing
// can be said about allocations.
const raceEnabled = true
