package rawquic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
)

// Level is an encryption level; 0-RTT and 1-RTT share a packet number space.
type Level = tls.QUICEncryptionLevel

// Encryption levels (RFC 9001 section 2.1).
const (
	Initial   = tls.QUICEncryptionLevelInitial
	Early     = tls.QUICEncryptionLevelEarly
	Handshake = tls.QUICEncryptionLevelHandshake
	App       = tls.QUICEncryptionLevelApplication
)

const (
	secretLen = 32
	tagLen    = 16
	hpSample  = 16 // bytes of ciphertext that make the header mask
)

// keys protect the packets of one direction and level.
type keys struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	hp     cipher.Block
}

func newKeys(suite uint16, secret []byte) (*keys, error) {
	if suite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, fmt.Errorf("rawquic: cipher suite %#04x: only TLS_AES_128_GCM_SHA256 is known", suite)
	}
	return deriveKeys(secret), nil
}

func deriveKeys(secret []byte) *keys {
	k := &keys{secret: append([]byte(nil), secret...), iv: expand(secret, "quic iv", 12)}
	k.aead = gcm(expand(secret, "quic key", 16))
	k.hp = block(expand(secret, "quic hp", 16))
	return k
}

// next are the keys after a key update; header protection stays (RFC 9001
// section 6.1).
func (k *keys) next() *keys {
	n := deriveKeys(expand(k.secret, "quic ku", secretLen))
	n.hp = k.hp
	return n
}

func (k *keys) nonce(pn uint64) []byte {
	n := append([]byte(nil), k.iv...)
	for i := range 8 {
		n[len(n)-1-i] ^= byte(pn >> (8 * i))
	}
	return n
}

// mask is the header protection mask of a sample.
func (k *keys) mask(sample []byte) (m [aes.BlockSize]byte) {
	k.hp.Encrypt(m[:], sample[:hpSample])
	return m
}

// initialSalt is the salt of version 1 (RFC 9001 section 5.2).
var initialSalt = []byte{
	0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
	0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
}

// initialKeys are both sides' keys for a client's first DCID.
func initialKeys(dcid []byte) (client, server *keys) {
	secret, err := hkdf.Extract(sha256.New, dcid, initialSalt)
	if err != nil {
		panic(err) // only for hashes that are no hashes
	}
	return deriveKeys(expand(secret, "client in", secretLen)), deriveKeys(expand(secret, "server in", secretLen))
}

// expand is HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(label)))
	info = append(append(info, label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err) // only for lengths that no caller has
	}
	return out
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for wrong key lengths
	}
	return b
}

func gcm(key []byte) cipher.AEAD {
	a, err := cipher.NewGCM(block(key))
	if err != nil {
		panic(err) // only for other block sizes
	}
	return a
}

// retryTag is the integrity tag of a Retry packet (RFC 9001 section 5.8).
func retryTag(odcid, packet []byte) []byte {
	key := []byte{0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e}
	nonce := []byte{0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb}
	pseudo := append([]byte{byte(len(odcid))}, odcid...)
	return gcm(key).Seal(nil, nonce, nil, append(pseudo, packet...))
}
