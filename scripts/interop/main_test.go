package interop

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// parallelCells of the matrix run at a time: most of them wait for probe timeouts.
const parallelCells = 16

// TestMain starts one broker for all tests, stops it with SIGTERM at the end and prints the table.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	b, err := startBroker()
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	broker = b
	flag.Parse()
	flag.Set("test.parallel", strconv.Itoa(parallelCells))
	status := m.Run()
	for _, b := range append(shared.running, b) {
		status = max(status, finish(b, status))
	}
	text := table.String()
	if matrix := ranMatrix(); matrix != "" {
		text += "\n" + matrix
	}
	if habits := ranHabits(); habits != "" {
		text += "\n" + habits
	}
	fmt.Print("\n", text)
	if file := os.Getenv("INTEROP_TABLE"); file != "" {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "interop:", err)
			return 1
		}
	}
	return status
}

// finish stops a broker, wants it to have had no complaints, and keeps its log if something went wrong.
func finish(b *brokerProcess, status int) int {
	if err := b.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "interop: stopping the broker:", err)
		fmt.Fprintln(os.Stderr, b.tail())
		status = 1
	}
	if complaints := b.complaints(); complaints != "" {
		fmt.Fprintf(os.Stderr, "interop: the broker complained:\n%s", complaints)
		status = 1
	}
	if status != 0 {
		fmt.Fprintf(os.Stderr, "interop: the broker's log is in %s\n", b.logFile)
	} else {
		os.RemoveAll(b.dir)
	}
	return status
}

// table collects the outcome of every case.
var table = &matrix{cells: map[[2]string]bool{}}

type matrix struct {
	mu     sync.Mutex
	stacks []string
	cases  []string
	cells  map[[2]string]bool
}

func (m *matrix) record(stack, name string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.stacks, stack) {
		m.stacks = append(m.stacks, stack)
	}
	if !slices.Contains(m.cases, name) {
		m.cases = append(m.cases, name)
	}
	if before, seen := m.cells[[2]string{stack, name}]; seen {
		ok = ok && before
	}
	m.cells[[2]string{stack, name}] = ok
}

// String renders the table in Markdown, one row per stack, listing its cases.
func (m *matrix) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	b.WriteString("| client (transport) | passed | failed |\n|---|---|---|\n")
	for _, stack := range m.stacks {
		var passed, failed []string
		for _, name := range m.cases {
			ok, seen := m.cells[[2]string{stack, name}]
			switch {
			case seen && ok:
				passed = append(passed, name)
			case seen:
				failed = append(failed, name)
			}
		}
		if len(failed) == 0 {
			failed = []string{"-"}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", stack, strings.Join(passed, ", "), strings.Join(failed, ", "))
	}
	b.WriteString("\nA bad path loses 5 %, doubles 5 % and delays 5 % of the datagrams of each direction.\n")
	return b.String()
}

// proves runs one case as a sub-test and enters its outcome in the table.
func proves(t *testing.T, stack, name string, f func(t *testing.T)) {
	t.Helper()
	table.record(stack, name, t.Run(caseName(stack, name), f))
}

// provesParallel does so with a sub-test that runs beside others.
func provesParallel(t *testing.T, stack, name string, f func(t *testing.T)) {
	t.Helper()
	table.record(stack, name, true) // the order of the table is that of the calls
	t.Run(caseName(stack, name), func(t *testing.T) {
		t.Parallel()
		t.Cleanup(func() { table.record(stack, name, !t.Failed()) })
		f(t)
	})
}

func caseName(stack, name string) string {
	return strings.NewReplacer(" ", "_", "/", "_").Replace(stack + "/" + name)
}
