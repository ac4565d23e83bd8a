package packet

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecoder reads a stream as a server does: the version is set after the
// CONNECT (or before the first byte when version is one of the three). It must
// give the same packets and the same error in one chunk and in random chunks,
// every packet must survive encoding, and the buffer must not exceed what arrived.
func FuzzDecoder(f *testing.F) {
	for i, c := range validCases(f) {
		f.Add(byte(c.version), uint64(i), c.bytes)
		if values[c.name].Type() == CONNECT {
			f.Add(byte(0), uint64(i), append(c.bytes, 0xC0, 0, 0x30, 5, 0, 1, 't', 0, 'x', 0xE0, 0))
		}
	}
	for i, c := range malformedCases(f) {
		f.Add(byte(c.version), uint64(i), c.bytes)
	}
	f.Fuzz(func(t *testing.T, version byte, seed uint64, data []byte) {
		whole, wholeErr := decodeStream(t, Version(version), data, nil)
		parts, partsErr := decodeStream(t, Version(version), data, rand.New(rand.NewPCG(seed, 0)))
		require.Equal(t, whole, parts)
		require.Equal(t, wholeErr, partsErr)
	})
}

// decodeStream decodes data, in one chunk when random is nil.
func decodeStream(t *testing.T, v Version, data []byte, random *rand.Rand) (list []Packet, err error) {
	d := NewDecoder(1 << 20)
	d.SetVersion(v)
	for len(data) > 0 {
		n := len(data)
		if random != nil {
			n = min(n, 1+random.IntN(40))
		}
		d.Feed(data[:n:n])
		data = data[n:]
		list, err = decodeChunk(t, d, list)
		if err != nil {
			return list, err
		}
		require.LessOrEqual(t, cap(d.buf), 2*growth*d.Buffered()+retainBuffer)
	}
	return list, nil
}

func decodeChunk(t *testing.T, d *Decoder, list []Packet) ([]Packet, error) {
	for {
		p, err := d.Next()
		if err != nil {
			requireLegalError(t, err, "")
			return list, err
		}
		if p == nil {
			return list, nil
		}
		if c, ok := p.(*Connect); ok && d.Version() == 0 {
			d.SetVersion(c.Version)
		}
		q := snapshot(p)
		requireRoundTrip(t, q, d.Version(), "")
		list = append(list, q)
	}
}

// FuzzProperties checks a property block of any bytes in every place: what
// Validate takes can be read, rebuilt byte for byte and carried by a packet; what
// it refuses does no harm.
func FuzzProperties(f *testing.F) {
	for _, p := range values {
		for _, t := range carriers {
			if p.Type() == t && t == PUBLISH {
				f.Add(byte(t), []byte(p.(*Publish).Properties))
			}
		}
	}
	for seed := range uint64(20) {
		g := newGenerator(seed, V50)
		for _, t := range carriers {
			f.Add(byte(t), []byte(g.properties(t)))
		}
	}
	f.Fuzz(func(t *testing.T, place byte, block []byte) {
		in := carriers[int(place)%len(carriers)]
		p := Properties(block)
		whole := p.AppendExcept(nil)
		require.LessOrEqual(t, len(whole), len(p))
		for q := range p.All() {
			require.True(t, p.Has(q.ID))
		}
		if err := p.Validate(in); err != nil {
			requireLegalError(t, withType(err, in), "")
			return
		}
		require.Equal(t, string(p), string(whole))
		for q := range p.All() {
			require.True(t, q.ID.AllowedIn(in))
			require.False(t, p.AppendExcept(nil, q.ID).Has(q.ID))
		}
		_, _, err := decodeOne(V50, carry(in, withMethod(in, p)).AppendTo(nil, V50))
		require.NoError(t, err)
	})
}

// withType says CONNECT for an error in a will: that is the packet it stands in.
func withType(err error, in Type) error {
	if in == WillProperties {
		err.(*Error).Type = CONNECT
	}
	return err
}
