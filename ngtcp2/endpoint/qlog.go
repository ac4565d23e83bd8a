package endpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/ngmq/ngmq/ngtcp2"
)

// QlogInfo says which connection a qlog is of.
type QlogInfo struct {
	ODCID  ngtcp2.ConnectionID // DCID of the client's first Initial packet: both sides know it
	Server bool                // this is the server's side
	Remote netip.AddrPort      // the peer's address at the start
}

// Qlog makes the file that the qlog of a connection goes to; see Config.Qlog.
type Qlog func(QlogInfo) (io.WriteCloser, error)

// Role is "server" or "client", the vantage point of the qlog.
func (i QlogInfo) Role() string {
	if i.Server {
		return "server"
	}
	return "client"
}

// Modes of what QlogDir makes: qlogs tell who talked to whom, when and how much.
const (
	qlogDirMode  = 0o700
	qlogFileMode = 0o600
)

// maxSameODCID is how many qlogs of one side with the same ODCID get a file: a client
// chooses the ODCID, and may do so badly.
const maxSameODCID = 10

// QlogDir gives a Qlog that makes a file ODCID_server.sqlog or ODCID_client.sqlog
// in dir per connection, with a number behind the ODCID when there is one of that name.
// dir is made with mode 0700 when missing; the error says that no file can be made
// there.
func QlogDir(dir string) (Qlog, error) {
	if err := os.MkdirAll(dir, qlogDirMode); err != nil {
		return nil, err
	}
	probe, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, err
	}
	return func(info QlogInfo) (io.WriteCloser, error) { return qlogFile(dir, info) }, nil
}

func qlogFile(dir string, info QlogInfo) (f *os.File, err error) {
	name := info.ODCID.String()
	for n := range maxSameODCID {
		if n > 0 {
			name = fmt.Sprintf("%s-%d", info.ODCID, n)
		}
		path := filepath.Join(dir, name+"_"+info.Role()+".sqlog")
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, qlogFileMode)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, err
}

// startRecord sets s to what Config asks to be recorded of a new connection.
func (c *Core) startRecord(s *ngtcp2.Settings, info QlogInfo) (id uint64) {
	r := c.shared.recorder
	if r == nil {
		return 0
	}
	conn := r.record(info)
	if conn == nil {
		return 0
	}
	c.recordID++
	if c.records == nil {
		c.records = make(map[uint64]*recorded)
	}
	c.records[c.recordID] = conn
	s.Qlog, s.Log, s.LogID = r.cfg.Qlog != nil, r.log, c.recordID
	return c.recordID
}

// takeRecords hands the recorder what C has written since the last time.
func (c *Core) takeRecords() {
	r := c.shared.recorder
	if r == nil {
		return
	}
	lost := c.events.TakeLogs(func(rec ngtcp2.LogRecord) {
		if conn := c.records[rec.ID]; conn != nil {
			r.add(conn, rec.Kind, rec.Data)
		}
	})
	r.missed.Add(lost)
}

// endRecord comes after Conn.Free, or after a failure to make the Conn.
func (c *Core) endRecord(id uint64) {
	if id == 0 {
		return
	}
	c.takeRecords()
	c.shared.recorder.end(c.records[id])
	delete(c.records, id)
}
