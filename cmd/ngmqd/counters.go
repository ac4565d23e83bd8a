package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/ngmq/ngmq/server"
)

// countersTimeout bounds the wait for the event loops, which may be busy.
const countersTimeout = 5 * time.Second

// logOnSignal logs all counters whenever the statistics signal comes, until stop.
func logOnSignal(log *slog.Logger, srv *server.Server) (stop func()) {
	signals := make(chan os.Signal, 1)
	if statsSignal == nil { // Notify would take all signals
		return func() {}
	}
	signal.Notify(signals, statsSignal)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals {
			logCounters(log, slog.LevelInfo, srv)
			logMemory(log)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// logCounters logs a line per group of counters.
func logCounters(log *slog.Logger, level slog.Level, srv *server.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), countersTimeout)
	defer cancel()
	log.Log(ctx, level, "counters mqtt", mqttCounters(srv.Stats())...)
	quic, closes, drops := []any{}, []any{}, []any{}
	for name, n := range srv.QUICStats(ctx) {
		switch {
		case strings.HasPrefix(name, "drop_"):
			drops = append(drops, strings.TrimPrefix(name, "drop_"), n)
		case strings.HasPrefix(name, "close"):
			closes = append(closes, name, n)
		default:
			quic = append(quic, name, n)
		}
	}
	if len(quic) > 0 {
		log.Log(ctx, level, "counters quic", quic...)
		log.Log(ctx, level, "counters quic closes", closes...)
		log.Log(ctx, level, "counters quic drops", drops...)
	}
}

// logMemory logs what the process holds, in bytes: go_heap is what is in use, for which it
// collects garbage first; native_heap is of QUIC connections outside of it.
func logMemory(log *slog.Logger) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	log.Info("counters memory", "go_heap", stats.HeapAlloc, "go_system", stats.Sys,
		"native_heap", nativeHeap(), "goroutines", runtime.NumGoroutine())
}

// mqttCounters are the broker's counters as attributes of a log line. Of those by code
// or reason only the ones that are not zero appear.
func mqttCounters(s server.Stats) []any {
	attrs := []any{
		"connections", s.Connections, "clients", s.Clients, "sessions", s.Sessions, "subscriptions", s.Subscriptions,
		"retained", s.Retained, "retained_bytes", s.RetainedBytes, "offline_bytes", s.OfflineBytes,
		"clients_total", s.ClientsTotal, "sessions_resumed", s.SessionsResumed, "takeovers", s.Takeovers,
		"sessions_expired", s.SessionsExpired, "wills_published", s.WillsPublished,
		"subscribes_total", s.SubscribesTotal, "unsubscribes_total", s.UnsubscribesTotal,
		"datagrams_received", s.DatagramsReceived, "datagrams_dropped", s.DatagramsDropped, "datagrams_sent", s.DatagramsSent,
		"datagrams_lost", s.DatagramsLost, "datagrams_too_large", s.DatagramsTooLarge, "datagrams_full", s.DatagramsFull,
		"moves", s.Moves, "handler_panics", s.HandlerPanics, "stream_faults", s.StreamFaults, "bytes_received", s.BytesReceived, "bytes_sent", s.BytesSent,
	}
	for qos := range s.MessagesReceived {
		attrs = append(attrs, fmt.Sprintf("received_qos%d", qos), s.MessagesReceived[qos], fmt.Sprintf("sent_qos%d", qos), s.MessagesSent[qos])
	}
	for code, n := range s.Refused {
		attrs = append(attrs, fmt.Sprintf("refused_0x%02x", uint8(code)), n)
	}
	for code, n := range s.Disconnects {
		attrs = append(attrs, fmt.Sprintf("disconnected_0x%02x", uint8(code)), n)
	}
	for reason, n := range s.Dropped {
		attrs = append(attrs, "dropped_"+reason.String(), n)
	}
	return attrs
}
