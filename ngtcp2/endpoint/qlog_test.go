package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// What draft-ietf-quic-qlog-main-schema and draft-ietf-quic-qlog-quic-events allow in
// version 0.3.
var (
	qlogEvents = strings.Fields(`
		connectivity:server_listening connectivity:connection_started connectivity:connection_closed
		connectivity:connection_id_updated connectivity:spin_bit_updated connectivity:connection_retried
		connectivity:connection_state_updated connectivity:path_assigned connectivity:mtu_updated
		security:key_updated security:key_discarded
		transport:version_information transport:alpn_information transport:parameters_set
		transport:parameters_restored transport:packet_sent transport:packet_received transport:packet_dropped
		transport:packet_buffered transport:packets_acked transport:datagrams_sent transport:datagrams_received
		transport:datagram_dropped transport:stream_state_updated transport:frames_processed transport:data_moved
		recovery:parameters_set recovery:metrics_updated recovery:congestion_state_updated
		recovery:loss_timer_updated recovery:packet_lost recovery:marked_for_retransmit`)
	qlogPackets = strings.Fields(`initial handshake 0RTT 1RTT retry version_negotiation stateless_reset unknown`)
	qlogFrames  = strings.Fields(`padding ping ack reset_stream stop_sending crypto new_token stream max_data
		max_stream_data max_streams data_blocked stream_data_blocked streams_blocked new_connection_id
		retire_connection_id path_challenge path_response connection_close handshake_done datagram unknown`)
)

type qlogHeader struct {
	Format  string `json:"qlog_format"`
	Version string `json:"qlog_version"`
	Trace   struct {
		VantagePoint struct{ Name, Type string } `json:"vantage_point"`
		CommonFields struct {
			ProtocolType  []string `json:"protocol_type"`
			TimeFormat    string   `json:"time_format"`
			ReferenceTime *float64 `json:"reference_time"`
			GroupID       string   `json:"group_id"`
		} `json:"common_fields"`
	}
}

type qlogEvent struct {
	Time *float64
	Name string
	Data *struct {
		Header *struct {
			PacketType   string  `json:"packet_type"`
			PacketNumber *uint64 `json:"packet_number"`
		}
		Frames []struct {
			Type string `json:"frame_type"`
		}
		Raw   struct{ Length int }
		Owner string
	}
}

// checkQlog holds a file against the schema's rules. It returns the names of the
// events and their count.
func checkQlog(t *testing.T, text []byte, role, odcid string) map[string]int {
	t.Helper()
	require.Equal(t, byte(0x1e), text[0])
	records := bytes.Split(text[1:], []byte{0x1e})
	var header qlogHeader
	require.NoError(t, json.Unmarshal(records[0], &header))
	assert.Equal(t, "JSON-SEQ", header.Format)
	assert.Equal(t, "0.3", header.Version)
	assert.Equal(t, role, header.Trace.VantagePoint.Type)
	assert.Equal(t, []string{"QUIC"}, header.Trace.CommonFields.ProtocolType)
	assert.Equal(t, "relative", header.Trace.CommonFields.TimeFormat)
	assert.NotNil(t, header.Trace.CommonFields.ReferenceTime)
	assert.Equal(t, odcid, header.Trace.CommonFields.GroupID)

	names, last := map[string]int{}, 0.0
	for _, record := range records[1:] {
		require.True(t, bytes.HasSuffix(record, []byte("}\n")), "%q", record)
		var e qlogEvent
		require.NoError(t, json.Unmarshal(record, &e), "%s", record)
		require.NotNil(t, e.Time)
		require.GreaterOrEqual(t, *e.Time, last, "time goes back: %s", record)
		last = *e.Time
		require.Contains(t, qlogEvents, e.Name)
		require.NotNil(t, e.Data)
		names[e.Name]++
		checkQlogEvent(t, e, record)
	}
	return names
}

func checkQlogEvent(t *testing.T, e qlogEvent, record []byte) {
	t.Helper()
	switch e.Name {
	case "transport:parameters_set":
		require.Contains(t, []string{"local", "remote"}, e.Data.Owner)
	case "transport:packet_sent", "transport:packet_received", "recovery:packet_lost":
		require.NotNil(t, e.Data.Header, "%s", record)
		require.Contains(t, qlogPackets, e.Data.Header.PacketType)
		require.NotNil(t, e.Data.Header.PacketNumber)
		for _, f := range e.Data.Frames {
			require.Contains(t, qlogFrames, f.Type)
		}
		if slices.Contains([]string{"initial", "handshake", "1RTT"}, e.Data.Header.PacketType) && e.Name != "recovery:packet_lost" {
			require.NotEmpty(t, e.Data.Frames, "%s", record)
			require.Positive(t, e.Data.Raw.Length)
		}
	}
}

func TestQlog(t *testing.T) {
	for name, policy := range map[string]RetryPolicy{"direct": RetryNever, "retry": RetryAlways} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			dir := filepath.Join(t.TempDir(), "new")
			qlog, err := QlogDir(dir)
			require.NoError(t, err)
			info, err := os.Stat(dir)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())

			l := echoServer(t, Config{Qlog: qlog, Retry: policy})
			e := start(t, Config{Qlog: qlog})
			c := dial(t, e, l.Addr().String())
			ask(t, c, make([]byte, 200_000))
			require.NoError(t, c.Close())
			closed(t, c)
			require.NoError(t, e.Shutdown(within(t)))
			require.NoError(t, l.Shutdown(within(t)))
			stats := e.Stats()
			assert.Zero(t, stats.Count(LogsMissed))

			files, err := filepath.Glob(filepath.Join(dir, "*.sqlog"))
			require.NoError(t, err)
			require.Len(t, files, 2)
			for i, role := range []string{"client", "server"} { // in this order by name
				odcid, found := strings.CutSuffix(filepath.Base(files[i]), "_"+role+".sqlog")
				require.True(t, found, files[i])
				assert.Equal(t, strings.Split(filepath.Base(files[0]), "_")[0], odcid)
				text, err := os.ReadFile(files[i])
				require.NoError(t, err)
				group := odcid
				if policy == RetryAlways && role == "server" {
					group = qlogGroup(t, text) // ngtcp2 names the DCID after the Retry
				}
				names := checkQlog(t, text, role, group)
				assert.Greater(t, names["transport:packet_sent"], 10)
				assert.Greater(t, names["transport:packet_received"], 10)
				assert.GreaterOrEqual(t, names["transport:parameters_set"], 2)
				assert.Positive(t, names["recovery:metrics_updated"])
			}
		})
	}
}

func qlogGroup(t *testing.T, text []byte) string {
	t.Helper()
	var header qlogHeader
	require.NoError(t, json.NewDecoder(bytes.NewReader(text[1:])).Decode(&header))
	return header.Trace.CommonFields.GroupID
}

// A file that cannot be made, or written, costs the qlog only.
func TestQlogFails(t *testing.T) {
	leakCheck(t)
	var log lines
	broken := errors.New("disk is full")
	opened := 0
	l := echoServer(t, Config{Workers: 1, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Qlog: func(QlogInfo) (io.WriteCloser, error) {
			if opened++; opened == 1 {
				return nil, broken
			}
			return failingWriter{broken}, nil
		}})
	e := start(t, Config{})
	for range 2 {
		c := dial(t, e, l.Addr().String())
		ask(t, c, []byte("hello"))
		require.NoError(t, c.Close())
		closed(t, c)
	}
	require.NoError(t, l.Shutdown(within(t)))
	assert.Contains(t, log.String(), "qlog: opening")
	assert.Contains(t, log.String(), "qlog: writing")
	assert.Equal(t, 1, strings.Count(log.String(), "qlog: opening"))
	assert.Equal(t, 1, strings.Count(log.String(), "qlog: writing"))
}

type failingWriter struct{ error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.error }
func (w failingWriter) Close() error              { return nil }

// lines is a buffer that several goroutines may write to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A disk that hangs delays no connection, and what waits for it is bounded.
func TestQlogNeverBlocksWorkers(t *testing.T) {
	leakCheck(t)
	gate := make(chan struct{})
	l := echoServer(t, Config{Workers: 1, Qlog: func(QlogInfo) (io.WriteCloser, error) {
		<-gate
		return nil, errors.New("never mind")
	}})
	e := start(t, Config{})
	c := dial(t, e, l.Addr().String())
	for range 3 {
		ask(t, c, make([]byte, 100_000))
	}
	close(gate)
	require.NoError(t, l.Shutdown(within(t)))
}

type gatedWriter struct {
	gate    chan struct{}
	written int
	closed  bool
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	<-w.gate
	w.written += len(p)
	return len(p), nil
}

func (w *gatedWriter) Close() error {
	w.closed = true
	return nil
}

func TestRecorderIsBounded(t *testing.T) {
	w := &gatedWriter{gate: make(chan struct{})}
	cfg := Config{Qlog: func(QlogInfo) (io.WriteCloser, error) { return w, nil }}.withDefaults()
	r := newRecorder(&cfg)
	conn := r.record(QlogInfo{})
	record := make([]byte, 64<<10)
	const n = 3 * maxRecordBytes / (64 << 10)
	for range n {
		r.add(conn, ngtcp2.LogQlog, record)
	}
	r.end(conn)
	missed := int(r.missed.Load())
	assert.GreaterOrEqual(t, missed, n/3)
	close(w.gate)
	r.stop()
	assert.Equal(t, (n-missed)*len(record), w.written, "what was accepted is written, in spite of the end")
	assert.True(t, w.closed)
	assert.Zero(t, r.conns.Load())

	for range maxRecorded {
		require.NotNil(t, r.record(QlogInfo{}))
	}
	assert.Nil(t, r.record(QlogInfo{}))
}

func TestQlogDirRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "sub"), "/proc/none"} {
		_, err := QlogDir(dir)
		assert.Error(t, err, dir)
	}
	dir := t.TempDir()
	qlog, err := QlogDir(dir)
	require.NoError(t, err)
	for range maxSameODCID { // a client may choose its ODCID badly
		w, err := qlog(QlogInfo{Server: true})
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	_, err = qlog(QlogInfo{Server: true})
	assert.ErrorIs(t, err, os.ErrExist)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, maxSameODCID)
}

func TestLogQUIC(t *testing.T) {
	leakCheck(t)
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var log lines
		l := echoServer(t, Config{LogQUIC: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))})
		e := start(t, Config{})
		c := dial(t, e, l.Addr().String())
		ask(t, c, []byte("hello"))
		require.NoError(t, c.Close())
		closed(t, c)
		require.NoError(t, l.Shutdown(within(t)))
		if level == slog.LevelInfo {
			assert.NotContains(t, log.String(), "ngtcp2")
			continue
		}
		assert.Regexp(t, `level=DEBUG msg="ngtcp2: I\d+ .*Initial.*" conn=[0-9a-f]{16,} role=server`, log.String())
	}
	assert.ErrorContains(t, (&Config{LogQUIC: true}).Validate(), "LogQUIC")
}
