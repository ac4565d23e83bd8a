// Package flagcheck has a command line of kong tell all its wrong values at once.
//
//	wrong := Collect(parser.Model) -> parser.Parse -> wrong.Errors
//
// kong ends at the first value that it cannot take. With Collect it goes on, the flag keeps
// its default, and the program asks for the errors before it runs the command.
package flagcheck

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Wrong are the values that were refused. One goroutine uses it.
type Wrong struct{ errs []error }

// Errors are what is wrong, in the order of the command line; none is told twice.
func (w *Wrong) Errors() []error { return w.errs }

// Collect makes the flags and arguments of app report to a Wrong. It is called once, before
// Parse.
func Collect(app *kong.Application) *Wrong {
	w := &Wrong{}
	w.watch(app.Node)
	return w
}

func (w *Wrong) watch(node *kong.Node) {
	for _, flag := range node.Flags {
		if !flag.IsBool() { // kong looks at their mapper
			flag.Mapper = &mapper{flag.Mapper, w}
		}
	}
	for _, argument := range node.Positional {
		argument.Mapper = &mapper{argument.Mapper, w}
	}
	for _, child := range node.Children {
		w.watch(child)
	}
}

// mapper is that of a value, but does not fail.
type mapper struct {
	kong.Mapper
	wrong *Wrong
}

// Decode implements kong.Mapper.
func (m *mapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	text := fmt.Sprint(ctx.Scan.Peek().Value)
	err := m.Mapper.Decode(ctx, target)
	if err == nil {
		err = checkEnum(ctx.Value, target)
	} else {
		err = fmt.Errorf("%s: %w", ctx.Value.ShortSummary(), err)
	}
	if err != nil {
		m.wrong.add(fmt.Errorf("%w%s", err, origin(ctx.Value, text)))
	}
	return nil
}

// checkEnum does what kong does after all values are there, and puts the default in place of
// a wrong one, so that kong does not tell of it again.
func checkEnum(value *kong.Value, target reflect.Value) error {
	if value.Enum == "" || target.Kind() != reflect.String || slices.Contains(value.EnumSlice(), target.String()) {
		return nil
	}
	err := fmt.Errorf("%s must be one of %s but got %q", value.ShortSummary(), quoted(value.EnumSlice()), target.String())
	if value.HasDefault {
		target.SetString(value.Default)
	} else {
		target.SetString(value.EnumSlice()[0])
	}
	return err
}

// origin says which variable of the environment had the value, if one had.
func origin(value *kong.Value, text string) string {
	if value.Tag == nil {
		return ""
	}
	for _, name := range value.Tag.Envs {
		if inherited, is := os.LookupEnv(name); is && inherited == text {
			return fmt.Sprintf(" (from envar %s=%q)", name, text)
		}
	}
	return ""
}

func (w *Wrong) add(err error) {
	if !slices.ContainsFunc(w.errs, func(known error) bool { return known.Error() == err.Error() }) {
		w.errs = append(w.errs, err)
	}
}

func quoted(words []string) string { return `"` + strings.Join(words, `","`) + `"` }
