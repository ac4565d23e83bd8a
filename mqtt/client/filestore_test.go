package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// queued is a client with a queue in a file, for the server at url.
func queued(t *testing.T, url, file string) *Client {
	t.Helper()
	c, err := New(Options{
		Servers: []string{url}, ClientID: "me", ResumeSession: true, SessionExpiry: 60,
		Reconnect: true, Backoff: soon, Queue: Queue{File: file, QoS0: true},
	})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestFileQueueAfterRestart: unsent, unacknowledged and released messages come back as what they were.
func TestFileQueueAfterRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queue")
	url, accept := listen(t)
	c := queued(t, url, file)
	props := packet.AppendUserProperty(nil, "k", "v")
	for i, qos := range []byte{1, 2, 2, 1} {
		_, err := c.PublishAsync(within(t), Message{Topic: fmt.Sprint(i), Payload: []byte("x"), QoS: qos, Retain: true, Properties: props})
		require.NoError(t, err)
	}
	require.NoError(t, c.Start())
	s, _ := welcome(accept, packet.Connack{})
	ids := make([]uint16, 4)
	for range 4 { // a QoS 2 message waits for the disk before it is sent
		p := expect[*packet.Publish](s)
		ids[p.Topic[0]-'0'] = p.PacketID
	}
	s.send(&packet.Pubrec{PacketID: ids[2]}, &packet.Puback{PacketID: ids[3]}, &packet.Publish{Topic: []byte("in"), QoS: 2, PacketID: 77})
	for range 2 {
		p, err := s.dec.ReadPacket(s.nc, s.buf)
		require.NoError(t, err)
		assert.Contains(t, []packet.Type{packet.PUBREL, packet.PUBREC}, p.Type())
	}
	require.NoError(t, c.Close())
	_, err := c.PublishAsync(within(t), Message{Topic: "late", QoS: 1})
	assert.ErrorIs(t, err, ErrClosed)
	assert.ErrorIs(t, c.Start(), ErrClosed)

	c = queued(t, url, file)
	_, err = New(c.opts)
	assert.ErrorContains(t, err, "used by another client")
	for i := range 2 {
		_, err := c.PublishAsync(within(t), Message{Topic: fmt.Sprint("new", i), QoS: byte(i)})
		require.NoError(t, err)
	}
	require.NoError(t, c.Start())
	s, _ = welcome(accept, packet.Connack{SessionPresent: true})
	for i := range 2 {
		p := expect[*packet.Publish](s)
		assert.True(t, p.Dup)
		assert.True(t, p.Retain)
		assert.Equal(t, fmt.Sprint(i), string(p.Topic))
		assert.Equal(t, "x", string(p.Payload))
		assert.Equal(t, ids[i], p.PacketID)
		assert.Equal(t, props, p.Properties)
	}
	assert.Equal(t, ids[2], expect[*packet.Pubrel](s).PacketID)
	for i := range 2 {
		p := expect[*packet.Publish](s)
		assert.False(t, p.Dup)
		assert.Equal(t, fmt.Sprint("new", i), string(p.Topic))
	}
	s.send(&packet.Publish{Topic: []byte("in"), QoS: 2, PacketID: 77, Dup: true})
	assert.Equal(t, uint16(77), expect[*packet.Pubrec](s).PacketID, "it is known")
	assert.Contains(t, c.session.received, uint16(77))
}

// TestFileQueueSessionLost: identifiers of the old session mean nothing in the next one.
func TestFileQueueSessionLost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queue")
	url, accept := listen(t)
	c := queued(t, url, file)
	for i := range 2 {
		_, err := c.PublishAsync(within(t), Message{Topic: fmt.Sprint(i), QoS: 1})
		require.NoError(t, err)
	}
	require.NoError(t, c.Start())
	s, _ := welcome(accept, packet.Connack{})
	for range 2 {
		expect[*packet.Publish](s)
	}
	s.nc.Close()
	welcome(accept, packet.Connack{ReasonCode: packet.ServerBusy})
	welcome(accept, packet.Connack{})
	require.NoError(t, c.AwaitConnection(within(t)))
	require.NoError(t, c.Close())

	store, messages, _, err := openStore(Queue{File: file}, func(error) {})
	require.NoError(t, err)
	defer store.close()
	require.Len(t, messages, 2)
	for i, x := range messages {
		assert.Equal(t, fmt.Sprint(i), string(x.pub.Topic))
	}
}

// TestFileQueueKeepsStreams: also when the file is written anew. Without streams it is as it was before there
// were any.
func TestFileQueueKeepsStreams(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queue")
	c := queued(t, "mqtt://h", file)
	streams := []string{"", "telemetry", strings.Repeat("s", maxStreamName)}
	for i, stream := range streams {
		_, err := c.PublishAsync(within(t), Message{Topic: fmt.Sprint(i), QoS: 1, Stream: stream})
		require.NoError(t, err)
	}
	_, err := c.PublishAsync(within(t), Message{Topic: "a", Stream: strings.Repeat("s", maxStreamName+1)})
	assert.ErrorContains(t, err, "Message.Stream")
	require.NoError(t, c.Close())
	for range 2 {
		store, messages, _, err := openStore(Queue{File: file}, func(error) {})
		require.NoError(t, err)
		require.Len(t, messages, len(streams))
		for i, x := range messages {
			assert.Equal(t, streams[i], x.stream)
			assert.Equal(t, fmt.Sprint(i), string(x.pub.Topic))
		}
		store.mu.Lock()
		require.NoError(t, store.compact())
		store.mu.Unlock()
		require.NoError(t, store.close())
	}

	x := newPublish(&packet.Publish{Topic: []byte("a"), QoS: 1})
	assert.EqualValues(t, recordPut, x.putKind())
	old := append(make([]byte, 8), (&packet.Publish{Topic: []byte("a"), QoS: 1, PacketID: 1}).AppendTo(nil, packet.V50)...)
	assert.Equal(t, old, x.appendPut(nil))
	for _, body := range [][]byte{nil, {0}, {0, 3, 'a', 'b'}, {0, 1, 'a'}} {
		assert.Nil(t, decodePut(recordPutOn, body), body)
	}
}

// TestFileQueueCutOff: a file that ends anywhere is read up to its last whole record.
func TestFileQueueCutOff(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "queue")
	s, _, _, err := openStore(Queue{File: file}, func(error) {})
	require.NoError(t, err)
	for i := range 3 {
		x := newPublish(&packet.Publish{Topic: []byte("t"), Payload: []byte{byte(i)}, QoS: 2})
		x.order, x.id = uint64(i+1), uint16(i+1)
		<-s.put(x)
		s.sent(x, func() {})
		s.release(x, func() {})
		s.arrived(uint16(i), func() {})
		if i == 0 {
			s.remove(x)
			s.departed(0)
		}
	}
	require.NoError(t, s.close())
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	last := 0
	for n := range len(whole) + 1 {
		if n%7 != 0 && n < len(whole)-60 { // each costs some syncs
			continue
		}
		cut := filepath.Join(dir, "cut")
		require.NoError(t, os.WriteFile(cut, whole[:n], 0o600))
		s, messages, received, err := openStore(Queue{File: cut, SyncInterval: -1}, func(error) {})
		require.NoError(t, err, n)
		x := newPublish(&packet.Publish{Topic: []byte("new")})
		x.order = 9
		<-s.put(x)
		require.NoError(t, s.close())
		s, again, _, err := openStore(Queue{File: cut, SyncInterval: -1}, func(error) {})
		require.NoError(t, err, n)
		require.NoError(t, s.close())
		assert.Len(t, again, len(messages)+1, n)
		last = len(messages)
		if n == len(whole) {
			assert.ElementsMatch(t, []uint16{1, 2}, received)
			assert.True(t, messages[1].released)
			assert.Equal(t, uint16(3), messages[1].id)
		}
	}
	assert.Equal(t, 2, last)

	for at := len(fileMagic); at < len(whole); at += 3 { // whatever is wrong, it is an end or an error
		bad := append([]byte(nil), whole...)
		bad[at] ^= 0x40
		require.NoError(t, os.WriteFile(filepath.Join(dir, "bad"), bad, 0o600))
		s, _, _, err := openStore(Queue{File: filepath.Join(dir, "bad"), SyncInterval: -1}, func(error) {})
		if err == nil {
			require.NoError(t, s.close())
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other"), []byte("something else entirely"), 0o600))
	_, _, _, err = openStore(Queue{File: filepath.Join(dir, "other")}, func(error) {})
	assert.ErrorIs(t, err, errFormat)
	_, err = New(Options{Servers: []string{url0}, ClientID: "me", Reconnect: true, Queue: Queue{File: dir}})
	assert.ErrorContains(t, err, "Queue.File")
	_, err = New(Options{Servers: []string{url0}, Reconnect: true, Queue: Queue{File: dir}})
	assert.ErrorContains(t, err, "ClientID")
}

// A Dial that fails leaves the file to the next one.
func TestDialThatFailsLeavesTheFile(t *testing.T) {
	opts := Options{ClientID: "me", Reconnect: true, Queue: Queue{File: filepath.Join(t.TempDir(), "queue")}}
	for range 2 {
		_, err := Dial(within(t), url0, opts)
		assert.ErrorContains(t, err, "refused")
	}
}

const url0 = "mqtt://127.0.0.1:1"

// TestFileQueueIsCompacted: the file does not grow with what has been delivered.
func TestFileQueueIsCompacted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queue")
	s, _, _, err := openStore(Queue{File: file, SyncInterval: time.Hour}, func(err error) { assert.NoError(t, err) })
	require.NoError(t, err)
	var old *exchange
	for i := range 200 {
		x := newPublish(&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 30_000), QoS: 2})
		x.order, x.id = uint64(i+1), uint16(i+1)
		durable := s.put(x)
		s.sent(x, func() {})
		s.release(x, func() {})
		s.arrived(uint16(i), func() {})
		if i != 100 {
			s.remove(x)
			s.departed(uint16(i))
		} else {
			old = x
		}
		<-durable
	}
	require.NoError(t, s.close())
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(2*compactAbove))
	s, messages, received, err := openStore(Queue{File: file}, func(error) {})
	require.NoError(t, err)
	defer s.close()
	require.Len(t, messages, 1)
	assert.Equal(t, old.pub.Payload, messages[0].pub.Payload)
	assert.Equal(t, old.id, messages[0].id)
	assert.True(t, messages[0].released)
	assert.Equal(t, []uint16{100}, received)
}

// TestFileQueueThatCannotBeWritten: Publish tells, and so does Close.
func TestFileQueueThatCannotBeWritten(t *testing.T) {
	errs := make(chan error, 1)
	c, err := New(Options{
		Servers: []string{url0}, ClientID: "me", Reconnect: true, OnError: func(err error) { errs <- err },
		Queue: Queue{File: filepath.Join(t.TempDir(), "queue")},
	})
	require.NoError(t, err)
	store := c.session.store.(*fileStore)
	_, err = c.PublishAsync(within(t), Message{Topic: "a", QoS: 1})
	require.NoError(t, err)
	store.f.Close()
	_, err = c.PublishAsync(within(t), Message{Topic: "a", QoS: 1})
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.ErrorIs(t, receive(t, errs), os.ErrClosed)
	assert.ErrorIs(t, c.Close(), os.ErrClosed)
}

// killedEnv has the test binary be the program that is killed: the URL and the file.
const killedEnv = "NGMQ_TEST_KILLED"

// TestKilledProgram is that program: it publishes numbers and says which are kept.
func TestKilledProgram(t *testing.T) {
	url, file, _ := strings.Cut(os.Getenv(killedEnv), " ")
	if url == "" {
		return // the test proper is TestFileQueueSurvivesKill
	}
	c := queued(t, url, file)
	require.NoError(t, c.Start())
	require.NoError(t, c.AwaitConnection(within(t)))
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d-%d", os.Getpid(), i)
		p, err := c.PublishAsync(within(t), Message{Topic: name, QoS: byte(1 + i%2)})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("kept", name, i%2+1, p.Topic())
	}
}

// TestFileQueueSurvivesKill: a program is killed again and again while it publishes. What it had
// said to be kept arrives, QoS 2 once.
func TestFileQueueSurvivesKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queue")
	url, accept := listen(t)
	server := &countingServer{got: map[string]int{}, open: map[uint16]bool{}}
	kept := map[string]string{}
	for n := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProgram$", "-test.v")
		cmd.Env = append(os.Environ(), killedEnv+"="+url+" "+file)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		served := async(func() error { return server.serve(accept()) })
		lines := bufio.NewScanner(out)
		for i := 0; i < 60+20*n && lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) == 4 && f[0] == "kept" {
				kept[f[1]] = f[2]
				i++
			}
		}
		require.NoError(t, cmd.Process.Kill())
		for lines.Scan() {
			if f := strings.Fields(lines.Text()); len(f) == 4 && f[0] == "kept" {
				kept[f[1]] = f[2]
			}
		}
		assert.Error(t, cmd.Wait())
		receive(t, served)
	}
	c := queued(t, url, file)
	require.NoError(t, c.Start())
	served := async(func() error { return server.serve(accept()) })
	last, err := c.PublishAsync(within(t), Message{Topic: "last", QoS: 1})
	require.NoError(t, err)
	_, err = last.Wait(within(t))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c.session.mu.Lock()
		defer c.session.mu.Unlock()
		return c.session.queue.count == 0
	}, patience, time.Millisecond)
	require.NoError(t, c.Close())
	receive(t, served)
	assert.GreaterOrEqual(t, len(kept), 4*60)
	for name, qos := range kept {
		if qos == "2" {
			assert.Equal(t, 1, server.got[name], name)
		} else {
			assert.GreaterOrEqual(t, server.got[name], 1, name)
		}
	}
}

// countingServer is a server with one session that counts what it gets.
type countingServer struct {
	got     map[string]int
	open    map[uint16]bool // QoS 2, PUBREL is due
	present bool
}

func (c *countingServer) serve(s *peer) error {
	expect[*packet.Connect](s)
	s.send(&packet.Connack{SessionPresent: c.present})
	c.present = true
	for {
		p, err := s.dec.ReadPacket(s.nc, s.buf)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if reply := c.answer(p); reply != nil {
			if _, err := s.nc.Write(reply.AppendTo(nil, s.v)); err != nil {
				return err
			}
		}
	}
}

func (c *countingServer) answer(p packet.Packet) packet.Packet {
	switch p := p.(type) {
	case *packet.Publish:
		if p.QoS == 1 {
			c.got[string(p.Topic)]++
			return &packet.Puback{PacketID: p.PacketID}
		}
		if !c.open[p.PacketID] {
			c.open[p.PacketID] = true
			c.got[string(p.Topic)]++
		}
		return &packet.Pubrec{PacketID: p.PacketID}
	case *packet.Pubrel:
		delete(c.open, p.PacketID)
		return &packet.Pubcomp{PacketID: p.PacketID}
	}
	return nil
}
