#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* Hangs on the SSL_CTX as ex_data: lives as long as the last SSL made from it. */
typedef struct ctx_data {
  uint8_t *alpn; /* ALPN list in wire form */
  size_t alpn_len;
  int keylog_fd; /* -1: no key log */
  int server;    /* role of the SSL_CTX */
  uint8_t session_context[SSL_MAX_SID_CTX_LENGTH];
  size_t session_context_len;
} ctx_data;

static int ctx_data_index = -1;
static pthread_once_t ctx_data_once = PTHREAD_ONCE_INIT;

static void ctx_data_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                          long argl, void *argp) {
  ctx_data *d = ptr;
  (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;

  if (d == NULL) {
    return;
  }
  if (d->keylog_fd >= 0) {
    close(d->keylog_fd);
  }
  OPENSSL_free(d->alpn);
  OPENSSL_free(d);
}

static void ctx_data_register(void) {
  ctx_data_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, ctx_data_free);
}

static ctx_data *ctx_data_of(const SSL_CTX *ctx) {
  return SSL_CTX_get_ex_data(ctx, ctx_data_index);
}

static int ctx_data_attach(SSL_CTX *ctx, int server) {
  ctx_data *d;

  pthread_once(&ctx_data_once, ctx_data_register);
  if (ctx_data_index < 0 || (d = OPENSSL_zalloc(sizeof(*d))) == NULL) {
    return 0;
  }
  d->keylog_fd = -1;
  d->server = server;
  if (SSL_CTX_set_ex_data(ctx, ctx_data_index, d) != 1) {
    OPENSSL_free(d);
    return 0;
  }
  return 1;
}

int shim_openssl_init(void) {
  return OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

/* RFC 9001, 8.1: a ClientHello without ALPN is refused with the alert
 * no_application_protocol. The ALPN callback is not called for such a one, so
 * this is decided here, before any key is computed. */
static int require_alpn(SSL *ssl, int *alert, void *arg) {
  const unsigned char *ext;
  size_t len;
  (void)arg;

  if (SSL_client_hello_get0_ext(
        ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext, &len) == 1) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
  return SSL_CLIENT_HELLO_ERROR;
}

/* The first name of the server's list that the client offers. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                       const unsigned char *in, unsigned int inlen, void *arg) {
  const ctx_data *d = arg;
  unsigned char *chosen;
  (void)ssl;

  if (SSL_select_next_proto(&chosen, outlen, d->alpn, (unsigned int)d->alpn_len,
                            in, inlen) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *shim_tlsctx_new(int server, shim_error *err) {
  SSL_CTX *ctx;

  ERR_clear_error();
  ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  if (ctx == NULL || !ctx_data_attach(ctx, server) ||
      !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
      !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION)) {
    shim_error_take(err, "SSL_CTX_new");
    SSL_CTX_free(ctx);
    return NULL;
  }
  /* The chain is what the certificate file holds: building one from the trust
   * store would verify it again in every handshake. */
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
  /* Tickets carry the session; a cache of sessions would only cost memory. */
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify_depth(ctx, SHIM_VERIFY_DEPTH);
  if (server) {
    SSL_CTX_set_client_hello_cb(ctx, require_alpn, NULL);
    SSL_CTX_set_num_tickets(ctx, 1); /* every connection brings a new one */
  }
  return ctx;
}

/* Never ask on a terminal for the pass phrase of an encrypted file. */
static int no_password(char *buf, int size, int rwflag, void *arg) {
  (void)buf, (void)size, (void)rwflag, (void)arg;
  return -1;
}

static BIO *pem_bio(const uint8_t *pem, size_t len) {
  return len > INT32_MAX ? NULL : BIO_new_mem_buf(pem, (int)len);
}

/* True when the loop over a PEM text ended because there was no more. */
static int pem_at_end(void) {
  unsigned long e = ERR_peek_last_error();

  if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE) {
    return 0;
  }
  ERR_clear_error();
  return 1;
}

static int add_intermediates(SSL_CTX *ctx, BIO *bio) {
  X509 *ca;

  while ((ca = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
    if (!SSL_CTX_add0_chain_cert(ctx, ca)) {
      X509_free(ca);
      return 0;
    }
  }
  return pem_at_end();
}

int shim_tlsctx_use_chain(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err) {
  BIO *bio;
  X509 *leaf;
  int ok;

  ERR_clear_error();
  bio = pem_bio(pem, len);
  leaf = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, no_password, NULL);
  ok = leaf != NULL && SSL_CTX_use_certificate(ctx, leaf) == 1 &&
       add_intermediates(ctx, bio);
  X509_free(leaf);
  BIO_free(bio);
  if (!ok) {
    shim_error_take(err, "load certificate chain");
    return SHIM_FAILED;
  }
  return SHIM_OK;
}

static int use_key(SSL_CTX *ctx, EVP_PKEY *key) {
  X509 *leaf = SSL_CTX_get0_certificate(ctx);

  if (leaf != NULL && !X509_check_private_key(leaf, key)) {
    return SHIM_KEY_MISMATCH;
  }
  return SSL_CTX_use_PrivateKey(ctx, key) == 1 ? SHIM_OK : SHIM_FAILED;
}

int shim_tlsctx_use_key(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err) {
  EVP_PKEY *key;
  BIO *bio;
  int rv;

  ERR_clear_error();
  bio = pem_bio(pem, len);
  key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
  rv = key == NULL ? SHIM_FAILED : use_key(ctx, key);
  EVP_PKEY_free(key);
  BIO_free(bio);
  if (rv != SHIM_OK) {
    shim_error_take(err, "load private key");
  }
  return rv;
}

int shim_tlsctx_set_alpn(SSL_CTX *ctx, const uint8_t *wire, size_t len, shim_error *err) {
  ctx_data *d = ctx_data_of(ctx);

  ERR_clear_error();
  /* The one OpenSSL function where 0 is success; servers ignore it. */
  if (SSL_CTX_set_alpn_protos(ctx, wire, (unsigned int)len) != 0 ||
      (d->alpn = OPENSSL_memdup(wire, len)) == NULL) {
    shim_error_take(err, "set ALPN list");
    return SHIM_FAILED;
  }
  d->alpn_len = len;
  SSL_CTX_set_alpn_select_cb(ctx, select_alpn, d);
  return SHIM_OK;
}

static int add_ca(SSL_CTX *ctx, X509_STORE *store, X509 *ca) {
  /* Names for the CertificateRequest of a server; a client sends none. */
  return X509_STORE_add_cert(store, ca) == 1 &&
         (!ctx_data_of(ctx)->server || SSL_CTX_add_client_CA(ctx, ca) == 1);
}

int shim_tlsctx_add_cas(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err) {
  X509_STORE *store = SSL_CTX_get_cert_store(ctx);
  BIO *bio;
  X509 *ca;
  int ok, count = 0;

  ERR_clear_error();
  bio = pem_bio(pem, len);
  ok = bio != NULL;
  while (ok && (ca = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL)) != NULL) {
    ok = add_ca(ctx, store, ca);
    X509_free(ca);
    count++;
  }
  ok = ok && pem_at_end() && count > 0;
  BIO_free(bio);
  if (!ok) {
    shim_error_take(err, "load CA certificates");
    return SHIM_FAILED;
  }
  return SHIM_OK;
}

/* From now on the issuer of a peer's certificate must have a CRL here that is valid and
 * does not name it. */
int shim_tlsctx_add_crls(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err) {
  X509_STORE *store = SSL_CTX_get_cert_store(ctx);
  X509_CRL *crl;
  BIO *bio;
  int ok, count = 0;

  ERR_clear_error();
  bio = pem_bio(pem, len);
  ok = bio != NULL && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1;
  while (ok && (crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL)) != NULL) {
    ok = X509_STORE_add_crl(store, crl) == 1;
    X509_CRL_free(crl);
    count++;
  }
  ok = ok && pem_at_end() && count > 0;
  BIO_free(bio);
  if (!ok) {
    shim_error_take(err, "load certificate revocation lists");
    return SHIM_FAILED;
  }
  return SHIM_OK;
}

int shim_tlsctx_default_cas(SSL_CTX *ctx, shim_error *err) {
  ERR_clear_error();
  if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
    shim_error_take(err, "load system roots");
    return SHIM_FAILED;
  }
  ERR_clear_error();
  return SHIM_OK;
}

int shim_tlsctx_set_groups(SSL_CTX *ctx, const char *list, shim_error *err) {
  ERR_clear_error();
  if (SSL_CTX_set1_groups_list(ctx, list) != 1) {
    shim_error_take(err, "SSL_CTX_set1_groups_list");
    return SHIM_FAILED;
  }
  return SHIM_OK;
}

int shim_tlsctx_set_ciphersuites(SSL_CTX *ctx, const char *list, shim_error *err) {
  ERR_clear_error();
  if (SSL_CTX_set_ciphersuites(ctx, list) != 1) {
    shim_error_take(err, "SSL_CTX_set_ciphersuites");
    return SHIM_FAILED;
  }
  return SHIM_OK;
}

int shim_tlsctx_set_session_context(SSL_CTX *ctx, const uint8_t *id, size_t len,
                                    shim_error *err) {
  ERR_clear_error();
  if (SSL_CTX_set_session_id_context(ctx, id, (unsigned int)len) != 1) {
    shim_error_take(err, "SSL_CTX_set_session_id_context");
    return SHIM_FAILED;
  }
  memcpy(ctx_data_of(ctx)->session_context, id, len);
  ctx_data_of(ctx)->session_context_len = len;
  return SHIM_OK;
}

int shim_tlsctx_owns_session(SSL_CTX *ctx, const SSL_SESSION *session) {
  const ctx_data *d = ctx_data_of(ctx);
  unsigned int len;
  const unsigned char *id = SSL_SESSION_get0_id_context(session, &len);

  return len == d->session_context_len && memcmp(id, d->session_context, len) == 0;
}

void shim_tlsctx_set_verify(SSL_CTX *ctx, int mode) {
  SSL_CTX_set_verify(ctx, mode, NULL);
}

/* One write per line: O_APPEND keeps lines of several contexts and processes
 * whole. A full disk must not break the connection, so a failure is ignored. */
static void write_keylog(const SSL *ssl, const char *line) {
  const ctx_data *d = ctx_data_of(SSL_get_SSL_CTX(ssl));
  char buf[512];
  int n = snprintf(buf, sizeof(buf), "%s\n", line);
  ssize_t rv;

  if (n > 0 && (size_t)n < sizeof(buf)) {
    do {
      rv = write(d->keylog_fd, buf, (size_t)n);
    } while (rv < 0 && errno == EINTR);
  }
}

/* Refuses what others could read. */
static const char *keylog_fault(int fd) {
  struct stat st;

  if (fd < 0 || fstat(fd, &st) != 0) {
    return strerror(errno);
  }
  if (!S_ISREG(st.st_mode)) {
    return "not a regular file";
  }
  if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return "open to group or others, and it will hold session secrets";
  }
  return NULL;
}

int shim_tlsctx_set_keylog(SSL_CTX *ctx, const char *path, shim_error *err) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
  const char *fault = keylog_fault(fd);

  if (fault != NULL) {
    snprintf(err->text, sizeof(err->text), "%s", fault);
    if (fd >= 0) {
      close(fd);
    }
    return SHIM_FAILED;
  }
  ctx_data_of(ctx)->keylog_fd = fd;
  SSL_CTX_set_keylog_callback(ctx, write_keylog);
  return SHIM_OK;
}
