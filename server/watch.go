package server

import (
	"os"
	"time"

	"github.com/ngmq/ngmq/crypto/ticketkeys"
)

// filePoll is how often the files that may change while the server runs are looked at.
const filePoll = 10 * time.Second

// fileState tells whether a file has changed.
type fileState struct {
	modified time.Time
	size     int64
	problem  string // what was said about it
}

// poll has the file read when it has changed. It gives what is wrong, "" for nothing, and
// says that once; until it is right the file is read each time.
func (f *fileState) poll(file string, read func() error) (problem string) {
	info, err := os.Stat(file)
	if err == nil {
		now := fileState{modified: info.ModTime(), size: info.Size()}
		if now == *f {
			return ""
		}
		if err = read(); err == nil {
			*f = now
			return ""
		}
	}
	before := f.problem
	*f = fileState{problem: ticketkeys.Cause(err).Error()}
	if f.problem == before {
		return ""
	}
	return f.problem
}
