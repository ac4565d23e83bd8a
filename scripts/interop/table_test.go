package interop

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// results are the cells of a table that were run, by column and row.
type results struct {
	mu     sync.Mutex
	passed map[[2]string]bool
}

// record notes a run of a cell, which has passed when all its runs have.
func (r *results) record(column, row string, passed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passed == nil {
		r.passed = map[[2]string]bool{}
	}
	key := [2]string{column, row}
	before, seen := r.passed[key]
	r.passed[key] = passed && (before || !seen)
}

// print gives the table of this run, which table makes; empty when no cell was run.
func (r *results) print(table func(result func(column, row string) string) string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.passed) == 0 {
		return ""
	}
	return table(func(column, row string) string {
		passed, ran := r.passed[[2]string{column, row}]
		switch {
		case !ran:
			return "not run"
		case passed:
			return "passed"
		}
		return "FAILED"
	})
}

// markdown is a table of rows x columns, with corner in its corner. cell gives the text of a cell,
// empty when it has none, and the note beside it; the notes get numbers and follow the table.
func markdown(corner string, columns, rows []string, cell func(column, row int) (text, note string)) string {
	var b strings.Builder
	var notes []string
	fmt.Fprintf(&b, "| %s | %s |\n", corner, strings.Join(columns, " | "))
	b.WriteString("|" + strings.Repeat("---|", len(columns)+1) + "\n")
	for j, row := range rows {
		fmt.Fprintf(&b, "| %s |", row)
		for i := range columns {
			text, note := cell(i, j)
			if text == "" {
				text = "-"
			}
			if note != "" {
				text += fmt.Sprintf(" [%d]", number(&notes, note))
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for i, note := range notes {
		fmt.Fprintf(&b, "%d. %s\n", i+1, note)
	}
	return b.String()
}

// number of a note, from 1.
func number(notes *[]string, note string) int {
	if i := slices.Index(*notes, note); i >= 0 {
		return i + 1
	}
	*notes = append(*notes, note)
	return len(*notes)
}
