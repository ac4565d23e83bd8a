// Package ssltest drives an SSL object of package crypto over a byte stream, so
// that tests can hold it against a TLS stack that this project did not write. It
// is plain TLS through memory BIOs: what QUIC adds is proven with package ngtcp2.
package ssltest

/*
#cgo pkg-config: libssl libcrypto
#cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra
#include <openssl/err.h>
#include <openssl/ssl.h>

enum { STEP_DONE = 0, STEP_WANT_READ = 1, STEP_FAILED = -1 };

static int attach(SSL *ssl) {
  BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

  if (in == NULL || out == NULL) {
    BIO_free(in);
    BIO_free(out);
    return 0;
  }
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(ssl, in, out);
  return 1;
}

static int step(SSL *ssl, char *err, size_t len) {
  long verify;
  int rv;

  ERR_clear_error();
  rv = SSL_do_handshake(ssl);
  if (rv == 1) {
    return STEP_DONE;
  }
  if (SSL_get_error(ssl, rv) == SSL_ERROR_WANT_READ) {
    return STEP_WANT_READ;
  }
  verify = SSL_get_verify_result(ssl);
  ERR_error_string_n(ERR_peek_error(), err, len);
  if (verify != X509_V_OK) {
    OPENSSL_strlcat(err, ": ", len);
    OPENSSL_strlcat(err, X509_verify_cert_error_string(verify), len);
  }
  ERR_clear_error();
  return STEP_FAILED;
}

static int feed(SSL *ssl, const void *data, int len) {
  return BIO_write(SSL_get_rbio(ssl), data, len) == len;
}

static int drain(SSL *ssl, void *buf, int len) {
  return BIO_read(SSL_get_wbio(ssl), buf, len);
}

static int send_data(SSL *ssl, const void *data, int len) {
  return SSL_write(ssl, data, len) == len;
}
*/
import "C"

import (
	"errors"
	"net"
	"unsafe"
)

const bufferSize = 16 << 10

// Conn runs one SSL over one net.Conn. One goroutine.
type Conn struct {
	ssl *C.SSL
	net net.Conn
}

// New attaches memory BIOs to ssl, a *SSL, which Free frees.
func New(ssl unsafe.Pointer, conn net.Conn) *Conn {
	c := &Conn{ssl: (*C.SSL)(ssl), net: conn}
	if C.attach(c.ssl) != 1 {
		panic("ssltest: out of memory")
	}
	return c
}

// Free frees the SSL; the net.Conn stays open.
func (c *Conn) Free() { C.SSL_free(c.ssl) }

// Handshake runs the handshake to its end. A failed one returns OpenSSL's text
// after the alert has been sent.
func (c *Conn) Handshake() error {
	var text [256]C.char
	for {
		rv := C.step(c.ssl, &text[0], C.size_t(len(text)))
		err := c.flush()
		switch {
		case rv == C.STEP_FAILED:
			return errors.New(C.GoString(&text[0]))
		case rv == C.STEP_DONE || err != nil:
			return err
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// Write sends data, and the session tickets that wait with it.
func (c *Conn) Write(data []byte) error {
	if C.send_data(c.ssl, unsafe.Pointer(unsafe.SliceData(data)), C.int(len(data))) != 1 {
		return errors.New("ssltest: SSL_write failed")
	}
	return c.flush()
}

func (c *Conn) flush() error {
	buf := make([]byte, bufferSize)
	for {
		n := C.drain(c.ssl, unsafe.Pointer(&buf[0]), C.int(len(buf)))
		if n <= 0 {
			return nil
		}
		if _, err := c.net.Write(buf[:n]); err != nil {
			return err
		}
	}
}

func (c *Conn) fill() error {
	buf := make([]byte, bufferSize)
	n, err := c.net.Read(buf)
	if err != nil {
		return err
	}
	if C.feed(c.ssl, unsafe.Pointer(&buf[0]), C.int(n)) != 1 {
		return errors.New("ssltest: BIO_write failed")
	}
	return nil
}
