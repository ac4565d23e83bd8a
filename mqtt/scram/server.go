package scram

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ErrRefused says that the client did not prove that it knows the password of a user.
// It does not tell whether there is such a user.
var ErrRefused = errors.New("scram: wrong user name or password")

// Server authenticates clients. Any goroutine may use it.
type Server struct {
	store  Store
	secret [32]byte // salts of users that are not known are made of it
	nonce  func() string
}

// NewServer makes a server for the users of store. A user who is not known is answered
// like one whose credential has DefaultIterations, so that nobody finds out who is.
func NewServer(store Store) *Server {
	s := &Server{store: store, nonce: rand.Text}
	rand.Read(s.secret[:])
	return s
}

// Exchange is the authentication of one client. One goroutine at a time.
type Exchange struct {
	s          *Server
	user       string
	known      bool
	credential Credential
	header     string // GS2 header, which comes again
	nonce      string
	bare       string // client-first-message-bare "," server-first-message
	state      int    // messages of the client so far
}

// Begin starts an exchange.
func (s *Server) Begin() *Exchange { return &Exchange{s: s} }

// Next takes the next message of the client and gives the answer to it. done tells that
// the client is who it says; the answer then proves the same of the server. Without a
// first message (len(data) is 0) the client is asked for it by an empty answer. An error
// ends the exchange: ErrSyntax or ErrRefused.
func (e *Exchange) Next(data []byte) (reply []byte, done bool, err error) {
	if len(data) > maxMessage {
		return nil, false, ErrSyntax
	}
	switch {
	case e.state == 0 && len(data) == 0:
		e.state = 1
		return nil, false, nil
	case e.state <= 1:
		e.state = 2
		reply, err = e.first(string(data))
		return reply, false, err
	case e.state == 2:
		e.state = 3
		reply, err = e.final(string(data))
		return reply, err == nil, err
	}
	return nil, false, ErrSyntax
}

// User is the name of the authenticated user, empty before Next was done.
func (e *Exchange) User() string {
	if e.state != 4 {
		return ""
	}
	return e.user
}

// first handles client-first-message.
func (e *Exchange) first(message string) ([]byte, error) {
	binding, rest, _ := strings.Cut(message, ",")
	authzid, bare, ok := strings.Cut(rest, ",")
	if !ok || binding != "n" && binding != "y" || authzid != "" && !strings.HasPrefix(authzid, "a=") {
		return nil, ErrSyntax
	}
	e.header = message[:len(message)-len(bare)]
	name, rest, err := attribute(bare, 'n') // "m=", an extension that must be understood, is not a name
	if err != nil {
		return nil, err
	}
	if e.user, err = unescape(name); err != nil {
		return nil, err
	}
	nonce, _, err := attribute(rest, 'r')
	if err = errors.Join(err, checkNonce(nonce), checkText("user name", e.user)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if authzid != "" && authzid != "a="+name {
		return nil, ErrRefused
	}
	e.lookup()
	e.nonce = nonce + e.s.nonce()
	reply := fmt.Sprintf("r=%s,s=%s,i=%d", e.nonce, base64.StdEncoding.EncodeToString(e.credential.Salt), e.credential.Iterations)
	e.bare = bare + "," + reply
	return []byte(reply), nil
}

// lookup finds the credential, or makes one up that nothing fits, always the same for
// the same name.
func (e *Exchange) lookup() {
	if e.credential, e.known = e.s.store.Lookup(e.user); e.known {
		return
	}
	e.credential = Credential{
		Salt: mac(e.s.secret[:], "salt "+e.user)[:saltSize], Iterations: DefaultIterations,
		StoredKey: mac(e.s.secret[:], "stored "+e.user), ServerKey: mac(e.s.secret[:], "server "+e.user),
	}
}

// final handles client-final-message.
func (e *Exchange) final(message string) ([]byte, error) {
	binding, rest, err := attribute(message, 'c')
	if err != nil {
		return nil, err
	}
	nonce, _, err := attribute(rest, 'r')
	if err != nil {
		return nil, err
	}
	at := strings.LastIndex(message, ",p=")
	if at < 0 {
		return nil, ErrSyntax
	}
	proof, err := decode(message[at+len(",p="):])
	if err != nil || len(proof) != sha256.Size {
		return nil, ErrSyntax
	}
	if nonce != e.nonce || binding != base64.StdEncoding.EncodeToString([]byte(e.header)) {
		return nil, ErrRefused
	}
	text := e.bare + "," + message[:at]
	client := xor(proof, mac(e.credential.StoredKey, text))
	stored := sha256.Sum256(client)
	if subtle.ConstantTimeCompare(stored[:], e.credential.StoredKey) != 1 || !e.known {
		return nil, ErrRefused
	}
	e.state = 4
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(e.credential.ServerKey, text))), nil
}
