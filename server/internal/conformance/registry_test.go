package conformance

import (
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// proof is a test with the statements that it proves.
type proof struct {
	version    byte
	name       string
	fn         func(*T)
	ids        []string
	transports []string
	runs       sync.Map // transport to *result
}

// result is that of a test over one transport. It runs for the first of its statements;
// the others share the result.
type result struct {
	once   sync.Once
	name   string
	passed bool
}

var proofs []*proof

// mqtt5 registers a test of MQTT 5.0 statements.
func mqtt5(fn func(*T), ids ...string) *proof { return register(5, fn, ids) }

// mqtt311 registers a test of MQTT 3.1.1 statements.
func mqtt311(fn func(*T), ids ...string) *proof { return register(4, fn, ids) }

func register(version byte, fn func(*T), ids []string) *proof {
	name := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	name = strings.Split(name, ".")[1] // package.function, package.function.func1
	p := &proof{version: version, name: name, fn: fn, ids: ids, transports: transports}
	proofs = append(proofs, p)
	return p
}

// over has the test run over other transports than usual. It dials them by itself.
func (p *proof) over(transports ...string) { p.transports = transports }

// proofsOf gives the tests of a statement.
func proofsOf(version byte, id string) (found []*proof) {
	for _, p := range proofs {
		for _, proved := range p.ids {
			if p.version == version && proved == id {
				found = append(found, p)
			}
		}
	}
	return found
}

func TestMQTT5(t *testing.T)   { runAll(t, standards[0]) }
func TestMQTT311(t *testing.T) { runAll(t, standards[1]) }

func runAll(t *testing.T, s *standard) {
	for i := range s.statements {
		st := &s.statements[i]
		tests := proofsOf(s.version, st.id)
		for _, p := range tests {
			p.runs.Clear() // go test -count
		}
		if len(tests) > 0 {
			t.Run(st.id, func(t *testing.T) {
				t.Parallel()
				t.Cleanup(func() { st.record(!t.Failed()) })
				runProofs(t, s.version, tests)
			})
		}
	}
}

// runProofs runs the tests of a statement over their transports.
func runProofs(t *testing.T, version byte, tests []*proof) {
	for _, p := range tests {
		for _, transport := range p.transports {
			t.Run(transport+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				p.run(newT(t, version, transport))
			})
		}
	}
}

func (p *proof) run(t *T) {
	t.Helper()
	found, _ := p.runs.LoadOrStore(t.transport, &result{})
	r := found.(*result)
	r.once.Do(func() {
		r.name = t.Name()
		p.fn(t)
		r.passed = !t.Failed()
	})
	if !r.passed && r.name != t.Name() {
		t.Fatalf("see %s", r.name)
	}
}
