package scram

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The example of RFC 7677 section 3.
const (
	rfcFirst       = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	rfcServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	rfcServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcFinal       = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func rfcServer(t *testing.T) *Server {
	salt, err := decode("W22ZaJ0SNY7soEsUEjb6gQ==")
	require.NoError(t, err)
	k, err := derive("pencil", salt, 4096)
	require.NoError(t, err)
	s := NewServer(Users{"user": {Salt: salt, Iterations: 4096, StoredKey: k.stored, ServerKey: k.server}})
	s.nonce = func() string { return rfcServerNonce }
	return s
}

func TestRFC7677(t *testing.T) {
	e := rfcServer(t).Begin()
	c, err := NewClient("user", "pencil")
	require.NoError(t, err)
	c.nonce = "rOprNGfwEbeRWgbNEkqO"
	assert.Equal(t, rfcFirst, string(c.First()))

	reply, done, err := e.Next([]byte(rfcFirst))
	require.NoError(t, err)
	assert.False(t, done)
	assert.Equal(t, rfcServerFirst, string(reply))
	assert.Empty(t, e.User())

	final, done, err := c.Next(reply)
	require.NoError(t, err)
	assert.False(t, done)
	assert.Equal(t, rfcFinal, string(final))

	reply, done, err = e.Next(final)
	require.NoError(t, err)
	assert.True(t, done)
	assert.Equal(t, rfcServerFinal, string(reply))
	assert.Equal(t, "user", e.User())

	_, done, err = c.Next(reply)
	assert.NoError(t, err)
	assert.True(t, done)
	_, _, err = c.Next(nil)
	assert.Error(t, err)
	_, _, err = e.Next(nil)
	assert.Error(t, err, "an exchange is for one authentication")
}

// meet lets a client and a server talk until one of them ends it.
func meet(t *testing.T, s *Server, user, password string) (e *Exchange, err error) {
	e = s.Begin()
	c, err := NewClient(user, password)
	require.NoError(t, err)
	message := c.First()
	for done := false; !done; {
		if message, _, err = e.Next(message); err != nil {
			return e, err
		}
		if message, done, err = c.Next(message); err != nil {
			return e, err
		}
	}
	return e, nil
}

func TestUsersAndPasswords(t *testing.T) {
	users := Users{}
	for user, password := range map[string]string{"a": "secret", "a=b,c": "p=,w", "jürgen": "größe"} {
		c, err := NewCredential(password, MinIterations)
		require.NoError(t, err)
		users[user] = c
	}
	s := NewServer(users)
	for user, password := range map[string]string{"a": "secret", "a=b,c": "p=,w", "jürgen": "größe"} {
		e, err := meet(t, s, user, password)
		require.NoError(t, err)
		assert.Equal(t, user, e.User())
	}
	for user, password := range map[string]string{"a": "Secret", "b": "secret", "a=2Cb": "x"} {
		e, err := meet(t, s, user, password)
		assert.ErrorIs(t, err, ErrRefused, user)
		assert.Empty(t, e.User())
	}
}

// A user who is not known gets the same salt again, as one who is.
func TestUnknownUserLooksKnown(t *testing.T) {
	s := NewServer(Users{})
	salt := func() string {
		reply, _, err := s.Begin().Next([]byte("n,,n=nobody,r=x"))
		require.NoError(t, err)
		_, salt, _ := strings.Cut(string(reply), ",")
		return salt
	}
	assert.Equal(t, salt(), salt())
	assert.Contains(t, salt(), ",i=10000")
}

func TestFirstMessageMayComeLater(t *testing.T) {
	e := rfcServer(t).Begin()
	reply, done, err := e.Next(nil)
	require.NoError(t, err)
	assert.False(t, done)
	assert.Empty(t, reply)
	reply, _, err = e.Next([]byte(rfcFirst))
	require.NoError(t, err)
	assert.Equal(t, rfcServerFirst, string(reply))
	_, _, err = rfcServer(t).Begin().Next(nil)
	require.NoError(t, err)
	e = rfcServer(t).Begin()
	_, _, _ = e.Next(nil)
	_, _, err = e.Next(nil)
	assert.Error(t, err, "once")
}

func TestBadFirstMessages(t *testing.T) {
	for _, message := range []string{
		"x", "n", "n,", "n,,", "n,,n=user", "n,,r=x,n=user", "n,,n=,r=x", "n,,n=user,r=", "n,,n=us\x00er,r=x", "n,,n=\xff,r=x",
		"n,,n=a=b,r=x", "n,,n=a=2c,r=x", "n,,m=x,n=user,r=x", "p=tls-unique,,n=user,r=x", "z,,n=user,r=x", "n,b=x,n=user,r=x",
		"n,,n=user,r=\x01", "n,a=other,n=user,r=x", strings.Repeat("n", maxMessage+1), "n,,n=user,r=\u00fc",
	} {
		e := rfcServer(t).Begin()
		reply, done, err := e.Next([]byte(message))
		assert.Error(t, err, "%.40q", message)
		assert.False(t, done)
		assert.Empty(t, reply)
		assert.Empty(t, e.User())
	}
	for _, message := range []string{"y,,n=user,r=x", "n,a=user,n=user,r=x", "n,,n=user,r=x,ext=1"} {
		_, _, err := rfcServer(t).Begin().Next([]byte(message))
		assert.NoError(t, err, message)
	}
}

func TestBadFinalMessages(t *testing.T) {
	proof := rfcFinal[strings.Index(rfcFinal, ",p="):]
	nonce := rfcFinal[strings.Index(rfcFinal, ",r="):strings.Index(rfcFinal, ",p=")]
	for _, message := range []string{
		"", "x", "c=biws", "c=biws" + nonce, "c=biws" + nonce + ",p=", "c=biws" + nonce + ",p=AAAA", "c=biws" + nonce + ",p=*",
		"c=eSws" + nonce + proof, "c=biws,r=rOprNGfwEbeRWgbNEkqO" + proof, "c=biws" + proof, nonce[1:] + proof,
		"c=biws" + nonce + ",x=1" + proof, strings.Replace(rfcFinal, "p=d", "p=e", 1),
	} {
		e := rfcServer(t).Begin()
		_, _, err := e.Next([]byte(rfcFirst))
		require.NoError(t, err)
		reply, done, err := e.Next([]byte(message))
		assert.Error(t, err, message)
		assert.False(t, done)
		assert.Empty(t, reply)
		assert.Empty(t, e.User())
		_, done, err = e.Next([]byte(rfcFinal))
		assert.Error(t, err, "no second try")
		assert.False(t, done)
	}
}

func TestClientRefusesBadServers(t *testing.T) {
	first := func() *Client {
		c, err := NewClient("user", "pencil")
		require.NoError(t, err)
		c.nonce = "rOprNGfwEbeRWgbNEkqO"
		c.First()
		return c
	}
	for _, message := range []string{
		"", "x", "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999",
		"r=rOprNGfwEbeRWgbNEkqOx,s=*,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z", strings.Repeat("r", maxMessage+1),
	} {
		reply, _, err := first().Next([]byte(message))
		assert.Error(t, err, "%.60q", message)
		assert.Empty(t, reply)
	}
	for _, message := range []string{"", "e=other-error", "v=", "v=AAAA", "v=*"} {
		c := first()
		_, _, err := c.Next([]byte(rfcServerFirst))
		require.NoError(t, err)
		_, done, err := c.Next([]byte(message))
		assert.ErrorIs(t, err, ErrServer, message)
		assert.False(t, done)
	}
	for _, name := range []string{"", "a\x00", "\xff"} {
		_, err := NewClient(name, "x")
		assert.Error(t, err)
		_, err = NewClient("x", name)
		assert.Error(t, err)
	}
}

func TestCredential(t *testing.T) {
	c, err := NewCredential("pencil", 0)
	require.NoError(t, err)
	assert.Equal(t, DefaultIterations, c.Iterations)
	again, err := ParseCredential(c.String())
	require.NoError(t, err)
	assert.Equal(t, c, again)
	other, err := NewCredential("pencil", 0)
	require.NoError(t, err)
	assert.NotEqual(t, c.Salt, other.Salt)
	_, err = NewCredential("pencil", 10)
	assert.Error(t, err)
	_, err = NewCredential("", 0)
	assert.Error(t, err)
	for _, s := range []string{
		"", "SCRAM-SHA-256", "SCRAM-SHA-1" + c.String()[13:], strings.Replace(c.String(), "10000", "10", 1),
		strings.Replace(c.String(), "10000", "x", 1), c.String()[:40], c.String() + "*", "SCRAM-SHA-256$4096:$:", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
	} {
		_, err := ParseCredential(s)
		assert.Error(t, err, s)
	}
}

func FuzzExchange(f *testing.F) {
	f.Add([]byte(rfcFirst), []byte(rfcFinal))
	s := NewServer(Users{})
	f.Fuzz(func(t *testing.T, first, final []byte) {
		e := s.Begin()
		if _, _, err := e.Next(first); err != nil {
			return
		}
		_, done, _ := e.Next(final)
		assert.False(t, done)
	})
}
