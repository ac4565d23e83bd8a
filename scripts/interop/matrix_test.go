package interop

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// matrixPatience is how long a cell of the matrix may wait for something; those with bad paths wait
// for probe timeouts that double. Servers of ours give up a client that is silent for half of it during its
// handshake, which one of x/net/quic is for 40 s on a machine with so much else to do that its first RTT
// samples are seconds.
const matrixPatience = 3 * time.Minute

func matrixContext(t *testing.T) context.Context { return within(t, matrixPatience) }

// matrixCases are the rows: the names of the usual QUIC interop cases, and some more.
var matrixCases = []string{
	"handshake", "transfer", "longrtt", "multiplexing", "chacha20", "retry", "NEW_TOKEN", "resumption",
	"zerortt", "zerortt rejected", "keyupdate", "ecn", "v2", "versionnegotiation", "amplificationlimit",
	"handshakeloss", "handshakecorruption", "transferloss", "transfercorruption", "blackhole", "ipv6",
	"rebind-port", "rebind-addr", "connectionmigration", "preferred address", "datagrams", "stateless reset",
}

// cell is one case with one column: a test, or the reason why there is none. A note beside a test says
// what is different in it.
type cell struct {
	run  func(*testing.T)
	note string
}

// cannot is a cell without a test.
func cannot(reason string) cell { return cell{note: reason} }

// column is a pair of stacks, "client -> server".
type column struct {
	name string
	// dial opens a connection with the column's client, serve starts the column's echo server and
	// returns its address.
	dial  func(t *testing.T, addr string) conn
	serve func(t *testing.T, o serverOptions) string
	cells map[string]cell // by case; cases without a cell are those of anyColumn
}

// cell of a case; there is one for each.
func (c column) cell(name string) cell {
	if own, ok := c.cells[name]; ok {
		return own
	}
	run := anyColumn[name]
	if run == nil {
		panic("no cell for " + name + " in " + c.name)
	}
	return cell{run: func(t *testing.T) { run(t, c) }}
}

// columns of the matrix; those with quiche need npm and are run with the build tag quiche.
func columns() []column {
	return slices.Concat(quicGoColumns(), xnetColumns(), opensslColumns(), quicheColumns())
}

// outcomes of the cells that were run.
var outcomes results

// runColumns runs all cells, many at a time: most of them wait.
func runColumns(t *testing.T, list []column) {
	require.NoError(t, makeCerts())
	for _, c := range list {
		for _, name := range matrixCases {
			run := c.cell(name).run
			if run == nil {
				continue
			}
			t.Run(strings.NewReplacer(" ", "_", "/", "_").Replace(c.name+"/"+name), func(t *testing.T) {
				t.Parallel()
				t.Cleanup(func() { outcomes.record(c.name, name, !t.Failed()) })
				run(t)
			})
		}
	}
}

// TestMatrix: the usual QUIC interop cases between package endpoint and the other stacks.
func TestMatrix(t *testing.T) {
	runColumns(t, slices.Concat(quicGoColumns(), xnetColumns(), opensslColumns()))
}

// matrixTable is the table case x column in Markdown. result says what stands in a cell with a test.
func matrixTable(result func(column, name string) string) string {
	list := columns()
	var names []string
	for _, c := range list {
		names = append(names, c.name)
	}
	return markdown("case", names, matrixCases, func(i, j int) (text, note string) {
		cell := list[i].cell(matrixCases[j])
		if cell.run != nil {
			text = result(names[i], matrixCases[j])
		}
		return text, cell.note
	})
}

// ranMatrix is the table of this run; empty when no cell was run.
func ranMatrix() string { return outcomes.print(matrixTable) }

// TestReadme: the README has the matrix as it is printed when every cell passes.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	want := matrixTable(func(string, string) string { return "passed" })
	assert.True(t, strings.Contains(string(readme), want), "README.md should have:\n%s", want)
}
