package conformance

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed *.tsv
var lists embed.FS

// standards are MQTT 5.0 and MQTT 3.1.1.
var standards = []*standard{
	loadStandard("MQTT 5.0", 5, "mqtt5"),
	loadStandard("MQTT 3.1.1", 4, "mqtt311"),
}

// standard is one table of statements with its lists of exceptions.
type standard struct {
	name       string
	version    byte
	statements []statement
	untestable map[string]string // id to reason
	unproven   map[string]string
}

type statement struct {
	id, who, chapter, gist string

	mu          sync.Mutex
	ran, failed bool
}

// record notes the result of the tests of a statement.
func (s *statement) record(passed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = true
	s.failed = s.failed || !passed
}

func loadStandard(name string, version byte, file string) *standard {
	s := &standard{name: name, version: version, untestable: reasons(file + ".untestable.tsv"), unproven: reasons(file + ".unproven.tsv")}
	rows := rows(file+".tsv", 4)[1:]
	s.statements = make([]statement, len(rows))
	for i, row := range rows {
		st := &s.statements[i]
		st.id, st.who, st.chapter, st.gist = row[0], row[1], row[2], row[3]
	}
	return s
}

// rows reads a file of tab separated fields. Blank lines and those that begin with #
// are left out.
func rows(file string, fields int) (all [][]string) {
	text, err := lists.ReadFile(file)
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != fields {
			panic(fmt.Sprintf("%s: not %d fields: %q", file, fields, line))
		}
		all = append(all, row)
	}
	return all
}

func reasons(file string) map[string]string {
	m := map[string]string{}
	for _, row := range rows(file, 2) {
		m[row[0]] = row[1]
	}
	return m
}

// forServer are the statements that the server has to keep.
func (s *standard) forServer() (list []*statement) {
	for i := range s.statements {
		if s.statements[i].who != "client" {
			list = append(list, &s.statements[i])
		}
	}
	return list
}

// TestCoverage fails when a statement for the server has no test and no reason for that.
func TestCoverage(t *testing.T) {
	for _, s := range standards {
		t.Run(s.name, func(t *testing.T) {
			var known []string
			for _, st := range s.forServer() {
				known = append(known, st.id)
				places := len(proofsOf(s.version, st.id))
				_, untestable := s.untestable[st.id]
				_, unproven := s.unproven[st.id]
				assert.True(t, places > 0 || untestable || unproven, "%s has no test: %s", st.id, st.gist)
				assert.False(t, places > 0 && (untestable || unproven), "%s has a test: take it out of the lists of exceptions", st.id)
				assert.False(t, untestable && unproven, "%s is in both lists of exceptions", st.id)
			}
			s.checkNames(t, known)
		})
	}
}

// checkNames refuses tests and exceptions for statements that do not exist, or are not
// for the server.
func (s *standard) checkNames(t *testing.T, known []string) {
	for _, p := range proofs {
		require.NotEmpty(t, p.ids, "%s proves nothing", p.name)
		for _, id := range p.ids {
			if p.version == s.version {
				assert.Contains(t, known, id, p.name)
			}
		}
	}
	for _, list := range []map[string]string{s.untestable, s.unproven} {
		for id, reason := range list {
			assert.Contains(t, known, id)
			assert.NotEmpty(t, reason, id)
		}
	}
}

// Results of a statement.
const (
	passed     = "pass"
	failed     = "FAIL"
	notRun     = "not run"
	missing    = "MISSING"
	notYet     = "not proven"
	impossible = "not testable"
)

func (s *standard) result(st *statement) string {
	tests := proofsOf(s.version, st.id)
	switch {
	case st.failed:
		return failed
	case st.ran:
		return passed
	case len(tests) > 0:
		return notRun
	case s.untestable[st.id] != "":
		return impossible + ": " + s.untestable[st.id]
	case s.unproven[st.id] != "":
		return notYet + ": " + s.unproven[st.id]
	}
	return missing
}

// table lists all statements for the server in Markdown.
func (s *standard) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | statement | tests | result |\n|---|---|---|---|\n", s.name)
	for _, st := range s.forServer() {
		var names []string
		for _, p := range proofsOf(s.version, st.id) {
			names = append(names, p.name)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", st.id, strings.ReplaceAll(st.gist, "|", "\\|"), strings.Join(names, ", "), s.result(st))
	}
	return b.String() + "\n"
}

// totals sums the table up.
func (s *standard) totals() string {
	count := map[string]int{}
	all := s.forServer()
	for _, st := range all {
		kind, _, _ := strings.Cut(s.result(st), ":")
		count[kind]++
	}
	var parts []string
	for _, kind := range []string{passed, failed, notRun, missing, notYet, impossible} {
		if count[kind] > 0 {
			parts = append(parts, fmt.Sprint(count[kind], " ", kind))
		}
	}
	slices.Sort(parts[1:])
	return fmt.Sprintf("%s: %d statements for the server: %s (over %s)", s.name, len(all), strings.Join(parts, ", "), strings.Join(transports, ", "))
}
