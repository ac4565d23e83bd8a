package quiclb

import (
	"crypto/aes"
	"crypto/cipher"
)

// Codec encodes and decodes Connection IDs of one Config. Not safe for concurrent use: it
// has memory of its own, so that nothing is allocated for a Connection ID.
type Codec struct {
	id       uint8
	sidLen   int
	blockLen int // server ID and nonce
	cipher   feistel
	plain    bool
	block    [maxBlock]byte
}

// New makes the Codec of c, which is copied.
func New(c Config) (*Codec, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	k := &Codec{id: c.ID, sidLen: len(c.ServerID), blockLen: len(c.ServerID) + c.NonceLen, plain: len(c.Key) == 0}
	if k.plain {
		return k, nil
	}
	return k, k.cipher.setKey(c.Key)
}

// Len is the length of the Connection IDs in bytes.
func (k *Codec) Len() int { return 1 + k.blockLen }

// Encode appends a Connection ID to dst. The lengths of serverID and nonce are those of
// the Config. A nonce must not be used twice with a server ID and key; without a key it
// has to look random (section 5.4 of the draft).
func (k *Codec) Encode(dst, serverID, nonce []byte) []byte {
	b := k.block[:k.blockLen]
	copy(b[copy(b[:k.sidLen], serverID):], nonce)
	if !k.plain {
		k.cipher.encrypt(b)
	}
	return append(append(dst, firstOctet(k.id, k.blockLen)), b...)
}

// Decode reads the Connection ID at the beginning of cid, which may be longer: that of a
// packet with a short header lies behind its first byte and is followed by what has no
// length. ok is false when it is too short or has other config rotation bits; of any other
// bytes a server ID comes out. The results are valid until the next call.
func (k *Codec) Decode(cid []byte) (serverID, nonce []byte, ok bool) {
	if len(cid) < k.Len() || ID(cid) != k.id {
		return nil, nil, false
	}
	b := k.block[:k.blockLen]
	copy(b, cid[1:])
	if !k.plain {
		k.cipher.decrypt(b)
	}
	return b[:k.sidLen], b[k.sidLen:], true
}

// ID are the config rotation bits of cid; UnroutableID of an empty one.
func ID(cid []byte) uint8 {
	if len(cid) == 0 {
		return UnroutableID
	}
	return cid[0] >> 5
}

// firstOctet says which Config was used and how long the rest is (section 3 of the draft).
func firstOctet(id uint8, n int) byte { return id<<5 | uint8(n) }

// feistel is the encryption of the draft, section 5.4, for blocks of 4 to 19 bytes.
type feistel struct {
	aes cipher.Block
	in  [aes.BlockSize]byte
	out [aes.BlockSize]byte
	lr  [2][halfMax]byte // left and right half
}

const halfMax = (maxBlock + 1) / 2

func (f *feistel) setKey(key []byte) (err error) {
	f.aes, err = aes.NewCipher(key)
	return err
}

// encrypt replaces b, with one pass when it has the size of an AES block.
func (f *feistel) encrypt(b []byte) {
	if len(b) == singlePass {
		copy(f.in[:], b)
		f.aes.Encrypt(f.out[:], f.in[:])
		copy(b, f.out[:])
		return
	}
	f.split(b)
	for pass := range byte(4) {
		f.pass(pass+1, len(b))
	}
	f.join(b)
}

// decrypt is the reverse of encrypt.
func (f *feistel) decrypt(b []byte) {
	if len(b) == singlePass {
		copy(f.in[:], b)
		f.aes.Decrypt(f.out[:], f.in[:])
		copy(b, f.out[:])
		return
	}
	f.split(b)
	for pass := byte(4); pass > 0; pass-- {
		f.pass(pass, len(b))
	}
	f.join(b)
}

// pass changes one half by the other: the right one when the number is odd. A half of
// an odd number of bytes has four bits less, which stay zero.
func (f *feistel) pass(number byte, n int) {
	half := (n + 1) / 2
	from, to := &f.lr[1-number&1], &f.lr[number&1]
	clear(f.in[copy(f.in[:], from[:half]):])
	f.in[aes.BlockSize-2], f.in[aes.BlockSize-1] = byte(n), number
	f.aes.Encrypt(f.out[:], f.in[:])
	for i := range half {
		to[i] ^= f.out[i]
	}
	if n&1 == 1 {
		f.lr[0][half-1] &= 0xf0
		f.lr[1][0] &= 0x0f
	}
}

// split puts b into the halves; the byte in the middle of an odd number belongs to both.
func (f *feistel) split(b []byte) {
	half := (len(b) + 1) / 2
	copy(f.lr[0][:half], b)
	copy(f.lr[1][:half], b[len(b)-half:])
	if len(b)&1 == 1 {
		f.lr[0][half-1] &= 0xf0
		f.lr[1][0] &= 0x0f
	}
}

func (f *feistel) join(b []byte) {
	half := (len(b) + 1) / 2
	copy(b[len(b)-half:], f.lr[1][:half])
	if len(b)&1 == 1 {
		f.lr[0][half-1] |= f.lr[1][0]
	}
	copy(b, f.lr[0][:half])
}
