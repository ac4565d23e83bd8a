package ticketkeys

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// daily are n keys, the first of which begins at noon.
func daily(n int) Keys {
	var k Keys
	for i := range n {
		k = append(k, Key{From: noon.AddDate(0, 0, i), Secret: bytes.Repeat([]byte{byte(i + 1)}, SecretLen)})
	}
	return k
}

// first are the first bytes of secrets.
func first(secrets [][]byte) (b []byte) {
	for _, s := range secrets {
		b = append(b, s[0])
	}
	return b
}

func TestActiveAndNext(t *testing.T) {
	k := daily(4)
	for _, c := range []struct {
		after  time.Duration // noon
		active []byte
		next   time.Duration
	}{
		{-time.Hour, []byte{1, 2}, 0},
		{0, []byte{1, 2}, 24 * time.Hour},
		{23 * time.Hour, []byte{1, 2}, 24 * time.Hour},
		{24 * time.Hour, []byte{2, 3, 1}, 24*time.Hour + Lifetime},
		{24*time.Hour + Lifetime, []byte{2, 3}, 48 * time.Hour},
		{72*time.Hour + Lifetime - time.Second, []byte{4, 3}, 72*time.Hour + Lifetime},
		{1000 * time.Hour, []byte{4}, -1},
	} {
		now := noon.Add(c.after)
		assert.Equal(t, c.active, first(k.Active(now)), "%s", c.after)
		if next := k.Next(now); c.next < 0 {
			assert.True(t, next.IsZero())
		} else {
			assert.Equal(t, noon.Add(c.next), next, "%s", c.after)
		}
	}
	many := daily(40)
	for i := range many {
		many[i].From = noon.Add(time.Duration(i) * time.Minute)
	}
	assert.Len(t, many.Active(noon.Add(30*time.Minute)), MaxActive)
	same := daily(2)
	same[1].From = noon
	assert.Equal(t, []byte{2, 1}, first(same.Active(noon)))
}

func TestExtend(t *testing.T) {
	const day = 24 * time.Hour
	k := Keys(nil).Extend(noon, day, 2)
	require.Len(t, k, 3)
	assert.Equal(t, []time.Time{noon, noon.Add(day), noon.Add(2 * day)}, []time.Time{k[0].From, k[1].From, k[2].From})
	assert.NotEqual(t, k[0].Secret, k[1].Secret)
	assert.Equal(t, k, k.Extend(noon.Add(time.Hour), day, 2), "nothing to do")

	later := k.Extend(noon.Add(day+time.Hour), day, 2)
	require.Len(t, later, 4, "the old key is still accepted")
	assert.Equal(t, k, later[:3])
	later = k.Extend(noon.Add(day+Lifetime), day, 2)
	assert.Equal(t, k[1:], later[:2])

	forgotten := k.Extend(noon.Add(10*day+time.Minute), day, 1)
	require.Len(t, forgotten, 3)
	assert.Equal(t, k[2], forgotten[0])
	assert.Equal(t, noon.Add(10*day+time.Minute), forgotten[1].From)
	assert.Equal(t, noon.Add(11*day+time.Minute), forgotten[2].From)
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keys")
	k := daily(3)
	require.NoError(t, k.Write(file))
	require.NoError(t, k.Write(file), "in the place of the old one")
	got, err := Read(file)
	require.NoError(t, err)
	assert.Equal(t, k, got)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)

	require.NoError(t, os.Chmod(file, 0o640))
	_, err = Read(file)
	assert.ErrorContains(t, err, "chmod 600")
	_, err = Read(dir)
	assert.ErrorContains(t, err, "regular")
	_, err = Read(filepath.Join(dir, "none"))
	assert.EqualError(t, Cause(err), "no such file or directory")
	large := filepath.Join(dir, "large")
	require.NoError(t, os.WriteFile(large, make([]byte, maxFile+1), 0o600))
	_, err = Read(large)
	assert.ErrorContains(t, err, "larger")
	assert.Error(t, k.Write(filepath.Join(dir, "none", "keys")))
}

func TestParse(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString(make([]byte, SecretLen))
	k, err := Parse([]byte("\n# later first\r\n2026-11-22T00:00:00+02:00 " + secret + "\r\n  2026-11-21T00:00:00Z  " + secret))
	require.NoError(t, err)
	require.Len(t, k, 2)
	assert.True(t, k[0].From.Before(k[1].From))
	assert.Equal(t, time.UTC, k[1].From.Location())
	for text, want := range map[string]string{
		"": "no key", "# nothing\n": "no key", "\nhello": "line 2: does not begin with a time",
		"2026-11-21T00:00:00Z": "line 1: has not 80 bytes", "2026-11-21T00:00:00Z AAAA": "80 bytes",
		"2026-11-21 " + secret: "does not begin", "2026-11-21T00:00:00Z " + secret[:len(secret)-8]: "80 bytes",
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), strings.Repeat("A", 8), "a secret")
	}
}
