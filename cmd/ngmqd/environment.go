package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// envPrefix begins the names of all variables that ngmqd alone reads.
const envPrefix = "NGMQ_"

// maxTypos is how many wrong letters a variable may have for its likely meaning to be
// named, and one in lettersPerTypo of its name at most: NGMQ_FOO is not NGMQ_TCP.
const (
	maxTypos       = 3
	lettersPerTypo = 3
)

// checkEnvironment refuses NGMQ_* variables that are no flag: a limit that is
// misspelled would not hold.
func checkEnvironment(app *kong.Application, environ []string) error {
	known := variables(app)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			return fmt.Errorf("unknown environment variable %s: did you mean %s?", name, near)
		}
		return fmt.Errorf("unknown environment variable %s: unset it, or see ngmqd --help for those there are", name)
	}
	return nil
}

// variables are the names that flags can be given by.
func variables(app *kong.Application) []string {
	var names []string
	for _, group := range app.AllFlags(false) {
		for _, flag := range group {
			names = append(names, flag.Envs...)
		}
	}
	return names
}

// nearest is the name out of list that the fewest changes make of name, "" when that
// are too many.
func nearest(name string, list []string) string {
	best, fewest := "", min(maxTypos, (len(name)-len(envPrefix))/lettersPerTypo)+1
	for _, candidate := range list {
		if n := distance(name, candidate); n < fewest {
			best, fewest = candidate, n
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// unknownShort is what kong says about a short flag: its suggestions are all there are.
var unknownShort = regexp.MustCompile(`^(unknown flag -\w), did you mean .*`)

// betterFlag improves what kong says about a flag that is not there.
func betterFlag(err error) error {
	if err == nil || !unknownShort.MatchString(err.Error()) {
		return err
	}
	text := unknownShort.ReplaceAllString(err.Error(), "$1: flags have whole names here")
	if strings.HasPrefix(text, "unknown flag -v:") {
		text += ", such as --version and --log-level debug"
	}
	return errors.New(text)
}
