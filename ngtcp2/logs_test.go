package ngtcp2

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logsOf takes the records of one kind.
func logsOf(e *Events, kind LogKind, id uint64) (records []string, lost uint64) {
	lost = e.TakeLogs(func(r LogRecord) {
		if r.Kind == kind && r.ID == id {
			records = append(records, string(r.Data))
		}
	})
	return records, lost
}

func TestLogs(t *testing.T) {
	p := connect(t, options{
		cset: func(s *Settings) { s.Qlog, s.LogID = true, 7 },
		sset: func(s *Settings) { s.Log, s.LogID = true, 8 },
	})
	p.close(p.c, ApplicationClose(0, ""))
	p.c.conn.Free()
	qlog, lost := logsOf(p.c.ev, LogQlog, 7)
	assert.Zero(t, lost)
	require.Greater(t, len(qlog), 10)
	for _, record := range qlog {
		require.Equal(t, byte(0x1e), record[0])
		require.Equal(t, byte('\n'), record[len(record)-1])
		assert.True(t, json.Valid([]byte(record[1:])), record)
	}
	assert.Contains(t, qlog[0], `"qlog_version":"0.3"`)

	lines, lost := logsOf(p.s.ev, LogDebug, 8)
	assert.Zero(t, lost)
	require.Greater(t, len(lines), 20)
	assert.Contains(t, strings.Join(lines, "\n"), "Initial")
	for _, line := range lines {
		assert.NotContains(t, line, "\n")
	}
	none, _ := logsOf(p.c.ev, LogQlog, 7)
	assert.Empty(t, none, "each record is given once")
}

// Who never takes the records loses them; the connection lives on.
func TestLogsAreBounded(t *testing.T) {
	p := connect(t, options{cset: func(s *Settings) { s.Qlog, s.Log = true, true }})
	before := HeapBytes()
	for range 40 {
		p.exchange(200_000)
	}
	assert.LessOrEqual(t, HeapBytes()-before, int64(6<<20))
	var total int
	lost := p.c.ev.TakeLogs(func(r LogRecord) {
		total += len(r.Data)
		assert.False(t, r.Kind == LogQlog && !bytes.HasSuffix(r.Data, []byte("}\n")), "a record is whole")
	})
	assert.NotZero(t, lost)
	assert.Greater(t, total, 3<<20)
	p.exchange(1000)
	records, lost := logsOf(p.c.ev, LogQlog, 0)
	assert.NotEmpty(t, records)
	assert.Zero(t, lost)
}
