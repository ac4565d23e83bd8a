package client

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// The file of a queue: fileMagic, then records, each
//
//	length   4 bytes, big endian: of kind and body
//	checksum 4 bytes: CRC-32C of kind and body
//	kind     1 byte
//	body
//
// Reading ends before the first record that is not complete and right: the last write
// before a crash.
const fileMagic = "ngmq queue 1\n"

const (
	recordPut      = 1 // order (8 bytes), PUBLISH of MQTT 5.0
	recordSent     = 2 // order, packet identifier (2 bytes), 0: not sent any more
	recordReleased = 3 // order
	recordRemoved  = 4 // order
	recordArrived  = 5 // packet identifier of a QoS 2 message of the server
	recordDeparted = 6 // packet identifier
	recordPutOn    = 7 // order, length of Message.Stream (2 bytes), that, PUBLISH: recordPut with a stream
	recordHeader   = 8 // bytes: length and checksum
	// maxRecord is more than the largest PUBLISH makes.
	maxRecord = packet.MaxPacketSize + maxStreamName + 64
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errFormat  = errors.New("this is not a queue of messages: give another name, or remove the file")
	errTorn    = errors.New("record is not complete")
)

// appendRecord appends a record whose body is what body appends.
func appendRecord(b []byte, kind byte, body func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, recordHeader)...)
	b = body(append(b, kind))
	content := b[start+recordHeader:]
	binary.BigEndian.PutUint32(b[start:], uint32(len(content)))
	binary.BigEndian.PutUint32(b[start+4:], crc32.Checksum(content, castagnoli))
	return b
}

// readRecord reads one; errTorn or io.EOF at the end.
func readRecord(r *bufio.Reader) ([]byte, error) {
	var header [recordHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, cmp.Or(torn(err), err)
	}
	length := binary.BigEndian.Uint32(header[:])
	if length == 0 || length > maxRecord {
		return nil, errTorn
	}
	content, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil {
		return nil, err
	}
	if len(content) < int(length) || crc32.Checksum(content, castagnoli) != binary.BigEndian.Uint32(header[4:]) {
		return nil, errTorn
	}
	return content, nil
}

func torn(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return nil
}

// read reads the file, and gives the messages in their order and where it ends.
func (s *fileStore) read(f *os.File) ([]*exchange, int64, error) {
	r := bufio.NewReader(f)
	magic := make([]byte, len(fileMagic))
	if n, err := io.ReadFull(r, magic); err != nil && fileMagic[:n] == string(magic[:n]) {
		_, err := f.Seek(0, io.SeekStart) // new, or its first write was cut off
		return nil, 0, errors.Join(err, f.Truncate(0))
	}
	if string(magic) != fileMagic {
		return nil, 0, errFormat
	}
	found, at := map[uint64]*exchange{}, int64(len(fileMagic))
	for {
		content, err := readRecord(r)
		if err == io.EOF || err == errTorn {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		length := int64(recordHeader + len(content))
		if !s.replay(found, content, at, length) {
			return nil, 0, errFormat
		}
		at += length
	}
	_, err := f.Seek(at, io.SeekStart)
	return slices.SortedFunc(maps.Values(found), func(a, b *exchange) int { return cmp.Compare(a.order, b.order) }), at, err
}

// replay repeats what a record says; false when it cannot say that.
func (s *fileStore) replay(found map[uint64]*exchange, content []byte, at, length int64) bool {
	kind, body := content[0], content[1:]
	if kind == recordArrived || kind == recordDeparted {
		return len(body) == 2 && s.replayReceived(kind, binary.BigEndian.Uint16(body))
	}
	if len(body) < 8 {
		return false
	}
	order, body := binary.BigEndian.Uint64(body), body[8:]
	if kind == recordPut || kind == recordPutOn {
		x := decodePut(kind, body)
		if x == nil {
			return false
		}
		x.order, found[order] = order, x
		s.live[order] = &kept{at: at, length: length}
		s.needed += length
		return true
	}
	x, k := found[order], s.live[order]
	if x == nil {
		return false
	}
	switch {
	case kind == recordSent && len(body) == 2:
		x.id = binary.BigEndian.Uint16(body)
		k.id, x.pub.PacketID = x.id, x.id
	case kind == recordReleased:
		x.released, k.released = true, true
	case kind == recordRemoved:
		s.needed -= k.length
		delete(found, order)
		delete(s.live, order)
	default:
		return false
	}
	return true
}

func (s *fileStore) replayReceived(kind byte, id uint16) bool {
	delete(s.received, id)
	if kind == recordArrived {
		s.received[id] = struct{}{}
	}
	return true
}

// decodePut is the message of a put record; nil when it is none.
func decodePut(kind byte, wire []byte) *exchange {
	stream := ""
	if kind == recordPutOn {
		if len(wire) < 2 || len(wire) < 2+int(binary.BigEndian.Uint16(wire)) {
			return nil
		}
		end := 2 + int(binary.BigEndian.Uint16(wire))
		stream, wire = string(wire[2:end]), wire[end:]
	}
	dec := packet.NewDecoder(0)
	dec.SetVersion(packet.V50)
	dec.Feed(wire)
	p, err := dec.Next()
	pub, ok := p.(*packet.Publish)
	if err != nil || !ok {
		return nil
	}
	x := newPublish(pub)
	x.stream = stream
	return x
}

// appendPut appends the body of the put record of x.
func (x *exchange) appendPut(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, x.order)
	if x.putKind() == recordPutOn {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(x.stream))), x.stream...)
	}
	p := *x.pub
	p.PacketID = 1 // the format wants one
	return p.AppendTo(b, packet.V50)
}

// putKind is the kind of the put record of x: files without streams can be read by programs
// from before there was recordPutOn.
func (x *exchange) putKind() byte {
	if x.stream != "" {
		return recordPutOn
	}
	return recordPut
}

// compact writes what is needed into a new file, which takes the place of the old one;
// the caller has the lock. What is in buf is part of it.
func (s *fileStore) compact() error {
	if _, err := s.f.Write(s.buf); err != nil {
		return err
	}
	s.buf = s.buf[:0]
	f, err := createLocked(s.path + ".new")
	if err != nil {
		return err
	}
	size, err := s.copyTo(f)
	if err == nil {
		err = errors.Join(f.Sync(), os.Rename(f.Name(), s.path), syncDir(filepath.Dir(s.path)))
	}
	if err != nil {
		f.Close()
		return err
	}
	s.f.Close()
	s.f, s.size = f, size
	return nil
}

// copyTo writes the needed records and notes their new places.
func (s *fileStore) copyTo(f *os.File) (size int64, err error) {
	w := bufio.NewWriter(f)
	w.WriteString(fileMagic)
	size = int64(len(fileMagic))
	for _, order := range slices.Sorted(maps.Keys(s.live)) {
		k := s.live[order]
		if _, err := io.Copy(w, io.NewSectionReader(s.f, k.at, k.length)); err != nil {
			return 0, err
		}
		k.at = size
		n, _ := w.Write(k.state(order)) // Flush tells the error
		size += k.length + int64(n)
	}
	for id := range s.received {
		n, _ := w.Write(appendRecord(nil, recordArrived, func(b []byte) []byte { return binary.BigEndian.AppendUint16(b, id) }))
		size += int64(n)
	}
	return size, w.Flush()
}

// state is the records that follow the put record.
func (k *kept) state(order uint64) (b []byte) {
	if k.id != 0 {
		b = appendRecord(b, recordSent, func(b []byte) []byte {
			return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(b, order), k.id)
		})
	}
	if k.released {
		b = appendRecord(b, recordReleased, func(b []byte) []byte { return binary.BigEndian.AppendUint64(b, order) })
	}
	return b
}
