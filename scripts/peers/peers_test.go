package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tiny is a run of everything in seconds.
var tiny = sizes{connects: 4, idle: 8, many: 8, messages: 200, deliveries: 64, subscribers: 4, bulk: 20, pongs: 20, paced: 20 * time.Millisecond, quiet: time.Millisecond}

// TestMain makes the test program a server when it is started as one.
func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		exit(serve(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// tinyOptions build ngmqd, since the tests of a module run before or after anything else.
func tinyOptions(t *testing.T) options {
	o, err := parse([]string{"-repeats", "1", "-limit", "5m"})
	require.NoError(t, err)
	o.sizes = tiny
	o.ngmqd = filepath.Join(t.TempDir(), "ngmqd")
	build := exec.Command("go", "build", "-o", o.ngmqd, "./cmd/ngmqd")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return o
}

// tested leaves out rows that differ from others in numbers alone: starting servers takes time.
var tested = []string{"2", "3", "4", "5", "8", "9a", "10", "12", "13", "14"}

// Every peer serves the rows that are its own, with all messages there and in order.
func TestRows(t *testing.T) {
	o := tinyOptions(t)
	o.out = filepath.Join(t.TempDir(), "table.md")
	o.rows = tested
	var out bytes.Buffer
	require.NoError(t, run(o, &out), "%s", out.String())
	text, err := os.ReadFile(o.out)
	require.NoError(t, err)
	for i := range rows {
		r := &rows[i]
		if !r.wanted(&o) {
			continue
		}
		for _, f := range r.figures {
			assertLine(t, &o, string(text), r, f)
		}
	}
}

// assertLine wants a line of a figure in the table of each transport, with all peers but the
// excluded ones.
func assertLine(t *testing.T, o *options, text string, r *row, f figure) {
	tables := strings.Split(text, "\nOver ")[1:]
	require.Len(t, tables, len(ours))
	start := "| " + r.idOf(f) + " | " + r.name + f.of + ", " + f.unit + " | "
	for over, table := range tables {
		columns := newTable(o).columns(transport(over))
		_, rest, ok := strings.Cut(table, start)
		excluded := !slices.ContainsFunc(columns, func(p string) bool { return !r.excludes(p) })
		require.NotEqual(t, excluded, ok, "%q in the table:\n%s", start, table)
		line, _, _ := strings.Cut(rest, "\n")
		for i, cell := range strings.Split(line, " | ")[:len(columns)*min(1, len(line))] {
			assert.Equal(t, r.excludes(columns[i]), cell == "-", "%s%s: %s", start, columns[i], cell)
		}
	}
}

// deliver gives packets to a subscriber of the flow.
func deliver(t *testing.T, f *flow, messages ...[]byte) error {
	t.Helper()
	s := &subscriber{flows: []*flow{f}, next: make([]int, 1)}
	in := frames{r: bytes.NewReader(bytes.Join(messages, nil))}
	for {
		m, err := in.next()
		require.NoError(t, err)
		if m.whole == nil {
			if in.fill() != nil {
				return nil
			}
			continue
		}
		if _, err := s.received(m); err != nil {
			return err
		}
	}
}

// sentBy gives the packets of n messages of a flow.
func sentBy(t *testing.T, n int) (*flow, [][]byte) {
	t.Helper()
	f := plan{publishers: 1, subscribers: 1, window: 10}.flow(0)
	var packets [][]byte
	for range n {
		var out bytes.Buffer
		f.pub = &client{link: recorder{&out}}
		require.NoError(t, f.write(1))
		packets = append(packets, out.Bytes())
	}
	return f, packets
}

// recorder is a link that keeps what is written.
type recorder struct{ io.Writer }

func (recorder) Read([]byte) (int, error)   { return 0, io.EOF }
func (recorder) state() tls.ConnectionState { return tls.ConnectionState{} }
func (recorder) end()                       {}

// A message that is lost, doubled, out of order or changed is a fault.
func TestFaultsAreFound(t *testing.T) {
	f, p := sentBy(t, 3)
	require.NoError(t, deliver(t, f, p...))
	assert.EqualValues(t, 3, f.arrived.Load())

	f, p = sentBy(t, 3)
	require.ErrorContains(t, deliver(t, f, p[0], p[2]), "message 2 came where 1 was next")
	f, p = sentBy(t, 3)
	require.ErrorContains(t, deliver(t, f, p[0], p[0]), "message 0 came where 1 was next")
	f, p = sentBy(t, 1)
	p[0][len(p[0])-1]++
	require.ErrorContains(t, deliver(t, f, p[0]), "was changed")

	f, _ = sentBy(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorContains(t, f.all(ctx), "0 of 1 messages have arrived")
}

// A PUBACK that does not belong to the oldest message is a fault.
func TestAcknowledgementsAreInOrder(t *testing.T) {
	f := plan{publishers: 1, subscribers: 1, window: 10, qos: 1}.flow(0)
	require.NoError(t, f.acknowledged(packetID(0)))
	require.ErrorContains(t, f.acknowledged(packetID(2)), "PUBACK")
}

func TestOptions(t *testing.T) {
	_, err := parse([]string{"-rows", "1,99", "-peers", "emqx", "-repeats", "0"})
	require.ErrorContains(t, err, "-rows 99")
	require.ErrorContains(t, err, "-peers emqx")
	require.ErrorContains(t, err, "-repeats 0")
	o, err := parse([]string{"-rows", "1,9"})
	require.NoError(t, err)
	var ids []string
	for i := range rows {
		if rows[i].wanted(&o) {
			ids = append(ids, rows[i].id)
		}
	}
	assert.Equal(t, []string{"1", "9a", "9b"}, ids)
}

func TestTable(t *testing.T) {
	o := options{peers: []string{"ngmqd", "null-quic", "mochi-quic", "mosq-tls", "ngmqd-tls"}, repeats: 3}
	table := newTable(&o)
	r := row{id: "4", name: "a row", figures: []figure{{unit: "us", ratio: 0.5}, {id: "6", of: ": rate", unit: "1/s", least: 100}, {unit: "ms", most: 2}}}
	table.add(&r, results{"ngmqd": {{3, 1, 2}, {99}, {2}}, "null-quic": {{5, 3, 4}, {99}, {3}}, "ngmqd-tls": {{4}, {4}, {4}}, "mosq-tls": {{3}, {3}, {5}}})
	assert.Equal(t, []string{
		"| 4 | a row, us | 2.00 = 0.50x (1.00..3.00) | 4.00 = 1.00x (3.00..5.00) | - | <= 0.50x yes |",
		"| 6 | a row: rate, 1/s | 99.00 = 1.00x (99.00..99.00) | 99.00 = 1.00x (99.00..99.00) | - | >= 100 1/s **no** |",
		"| 4 | a row, ms | 2.00 = 0.67x (2.00..2.00) | 3.00 = 1.00x (3.00..3.00) | - | <= 2.00 ms yes |",
	}, table.lines[overQUIC])
	assert.Equal(t, []string{
		"| 4 | a row, us | 3.00 = 1.00x (3.00..3.00) | 4.00 = 1.33x (4.00..4.00) | <= 1.00x **no** |",
		"| 6 | a row: rate, 1/s | 3.00 = 1.00x (3.00..3.00) | 4.00 = 1.33x (4.00..4.00) |  |",
		"| 4 | a row, ms | 5.00 = 1.00x (5.00..5.00) | 4.00 = 0.80x (4.00..4.00) | <= 1.00x yes |",
	}, table.lines[overTLS])
	assert.Empty(t, table.lines[overTCP])
}
