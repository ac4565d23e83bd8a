package server

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/ngmq/ngmq/crypto/ticketkeys"
)

// filePoll is how often the files that may change while the server runs are looked at.
const filePoll = 10 * time.Second

// watchedFile is a file that is taken into use again when it has changed. One goroutine calls
// its methods.
type watchedFile struct {
	file string // empty: none
	log  *slog.Logger
	poll time.Duration
	seen fileState
}

type fileState struct {
	modified time.Time
	size     int64
	problem  string // what was said about it
}

func newWatchedFile(file string, log *slog.Logger) watchedFile {
	return watchedFile{file: file, log: log, poll: filePoll}
}

// run calls look, and again whenever the time that it gives has passed, until ctx ends.
func (w *watchedFile) run(ctx context.Context, look func() (pause time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(look())
	}
}

// look has the file read when it has changed. What is wrong is logged once, with a message
// that says what this means; until it is right the file is read each time.
func (w *watchedFile) look(read func() error, message string) {
	info, err := os.Stat(w.file)
	if err == nil {
		now := fileState{modified: info.ModTime(), size: info.Size()}
		if now == w.seen {
			return
		}
		if err = read(); err == nil {
			w.seen = now
			return
		}
	}
	before := w.seen.problem
	w.seen = fileState{problem: ticketkeys.Cause(err).Error()}
	if w.seen.problem != before {
		w.log.Warn(message, "file", w.file, "error", w.seen.problem)
	}
}
