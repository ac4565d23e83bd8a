package flagcheck

import (
	"errors"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type even int

func (e *even) UnmarshalText(text []byte) error {
	if len(text) != 1 || (text[0]-'0')%2 != 0 {
		return errors.New("not an even digit")
	}
	*e = even(text[0] - '0')
	return nil
}

type commands struct {
	Level string `enum:"low,high" default:"low" env:"FLAGCHECK_LEVEL"`
	Run   struct {
		Kind  string        `enum:"a,b" default:"a"`
		Even  even          `short:"e"`
		Wait  time.Duration `default:"1s"`
		Yes   bool          `short:"y"`
		Shell string        `arg:"" enum:"bash,fish"`
	} `cmd:""`
}

func parse(t *testing.T, c *commands, args ...string) ([]error, error) {
	t.Helper()
	parser := kong.Must(c)
	w := Collect(parser.Model)
	_, err := parser.Parse(args)
	return w.Errors(), err
}

func TestEverythingAtOnce(t *testing.T) {
	var c commands
	wrong, err := parse(t, &c, "run", "--level=middle", "--kind", "c", "-ye3", "--wait", "soon", "csh")
	require.NoError(t, err)
	var texts []string
	for _, err := range wrong {
		texts = append(texts, err.Error())
	}
	require.Len(t, texts, 5, texts)
	assert.Equal(t, `--level must be one of "low","high" but got "middle"`, texts[0])
	assert.Equal(t, `--kind must be one of "a","b" but got "c"`, texts[1])
	assert.Equal(t, "--even: not an even digit", texts[2])
	assert.Contains(t, texts[3], "--wait: ")
	assert.Contains(t, texts[4], `must be one of "bash","fish" but got "csh"`)
	assert.Equal(t, "low", c.Level)
	assert.Equal(t, "a", c.Run.Kind)
	assert.True(t, c.Run.Yes)

	wrong, err = parse(t, &c, "run", "--kind", "c", "--nonsense")
	assert.Len(t, wrong, 1)
	assert.ErrorContains(t, err, "unknown flag --nonsense")
	wrong, err = parse(t, &c, "run", "--kind", "b", "-e", "4", "fish")
	assert.NoError(t, err)
	assert.Empty(t, wrong)
	assert.EqualValues(t, 4, c.Run.Even)
}

func TestEnvironment(t *testing.T) {
	t.Setenv("FLAGCHECK_LEVEL", "loud")
	var c commands
	wrong, err := parse(t, &c, "run", "bash")
	require.NoError(t, err)
	require.Len(t, wrong, 1)
	assert.ErrorContains(t, wrong[0], `but got "loud" (from envar FLAGCHECK_LEVEL="loud")`)
}
