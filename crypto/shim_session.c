/* Sessions: tickets that a server makes and takes back, and those that a client
 * keeps. A ticket is bound to the QUIC version of its connection (RFC 9369, 5), to the
 * client's certificate, which it holds and outlives in no case, and to how clients are
 * verified (shim_tlsctx_set_session_context); its early data also to the server's limits
 * (RFC 9000, 7.4.1). */
#include "shim.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

/* A key of SHIM_TICKET_KEY_LEN bytes, as the caller gives it. */
typedef struct ticket_key {
  uint8_t name[16];
  uint8_t aes[32];
  uint8_t mac[32];
} ticket_key;

typedef struct ticket_keys {
  size_t len;
  ticket_key key[];
} ticket_keys;

/* What hangs on a ticket. */
typedef struct ticket_data {
  uint64_t version;
  uint64_t limits;
  uint64_t not_after; /* end of the client's certificate chain, Unix seconds; 0: none */
} ticket_data;

static shim_slots slots = {-1, -1, -1};
static int keys_index = -1;
static int once_index = -1;
static pthread_once_t registered = PTHREAD_ONCE_INIT;

static void session_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                         long argl, void *argp) {
  (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
  SSL_SESSION_free(ptr);
}

static void keys_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                      long argl, void *argp) {
  ticket_keys *k = ptr;
  (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;

  if (k != NULL) {
    OPENSSL_clear_free(k, sizeof(*k) + k->len * sizeof(k->key[0]));
  }
}

static void once_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                      long argl, void *argp) {
  (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
  shim_once_free(ptr);
}

static void register_slots(void) {
  slots.version = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
  slots.limits = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
  slots.session = SSL_get_ex_new_index(0, NULL, NULL, NULL, session_free);
  keys_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, keys_free);
  once_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, once_free);
}

shim_slots shim_ssl_slots(void) {
  pthread_once(&registered, register_slots);
  return slots;
}

static ticket_data data_of(const SSL *ssl) {
  return (ticket_data){(uintptr_t)SSL_get_ex_data(ssl, slots.version),
                       (uintptr_t)SSL_get_ex_data(ssl, slots.limits), 0};
}

/* 0: the ticket has none. */
static int ticket_data_of(const SSL_SESSION *session, ticket_data *out) {
  void *data;
  size_t len;

  if (!SSL_SESSION_get0_ticket_appdata((SSL_SESSION *)(uintptr_t)session, &data, &len) ||
      len != sizeof(*out)) {
    return 0;
  }
  memcpy(out, data, len);
  return 1;
}

/* --- server --- */

/* The end of cert's validity in Unix seconds, 1 when it cannot be told. */
static uint64_t end_of(const X509 *cert) {
  int days, seconds;
  int64_t end;

  if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert))) {
    return 1;
  }
  end = (int64_t)time(NULL) + (int64_t)days * 86400 + seconds;
  return end > 0 ? (uint64_t)end : 1;
}

/* The first end in the chain that the client was verified by; 0: there is none. */
static uint64_t end_of_chain(SSL *ssl) {
  const STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
  const X509 *leaf = SSL_get0_peer_certificate(ssl);
  uint64_t first = leaf == NULL ? 0 : end_of(leaf), end;
  int i;

  for (i = 0; leaf != NULL && i < sk_X509_num(chain); i++) {
    end = end_of(sk_X509_value(chain, i));
    first = end < first ? end : first;
  }
  return first;
}

/* A resumed connection has verified nobody: its ticket ends with the one before it. */
static int bind_ticket(SSL *ssl, void *arg) {
  ticket_data data = data_of(ssl), before = {0, 0, 0};
  (void)arg;

  if (!SSL_session_reused(ssl)) {
    data.not_after = end_of_chain(ssl);
  } else if (ticket_data_of(SSL_get0_session(ssl), &before)) {
    data.not_after = before.not_after;
  } else {
    return 0;
  }
  return SSL_SESSION_set1_ticket_appdata(SSL_get0_session(ssl), &data, sizeof(data));
}

static SSL_TICKET_RETURN check_ticket(SSL *ssl, SSL_SESSION *session,
                                      const unsigned char *name, size_t name_len,
                                      SSL_TICKET_STATUS status, void *arg) {
  ticket_data data;
  (void)name, (void)name_len, (void)arg;

  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  if (!ticket_data_of(session, &data) || data.version != data_of(ssl).version ||
      (data.not_after != 0 && data.not_after < (uint64_t)time(NULL))) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE
                                      : SSL_TICKET_RETURN_USE_RENEW;
}

/* Whether the early data of a ticket is the first that is seen. Tickets are told from
 * each other by the hash of their secret. */
static int first_use(shim_once *once, const SSL_SESSION *session) {
  uint8_t secret[SSL_MAX_MASTER_KEY_LENGTH], hash[SHA256_DIGEST_LENGTH];
  size_t len = SSL_SESSION_get_master_key(session, secret, sizeof(secret));
  shim_instant now = shim_once_now();

  SHA256(secret, len, hash);
  OPENSSL_cleanse(secret, sizeof(secret));
  return shim_once_use(once, hash, (int64_t)SSL_SESSION_get_time_ex(session), &now);
}

/* Early data was sent within the limits that came with the ticket: these must hold
 * still. OpenSSL asks last, when nothing else speaks against it. */
static int allow_early(SSL *ssl, void *arg) {
  shim_once *once = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), once_index);
  const SSL_SESSION *session = SSL_get0_session(ssl);
  ticket_data data;
  (void)arg;

  return ticket_data_of(session, &data) && data.limits == data_of(ssl).limits &&
         (once == NULL || first_use(once, session));
}

int shim_tlsctx_use_once(SSL_CTX *ctx, shim_once *once, shim_error *err) {
  ERR_clear_error();
  shim_ssl_slots();
  shim_once_retain(once);
  if (SSL_CTX_set_ex_data(ctx, once_index, once) != 1) {
    shim_once_free(once);
    shim_error_take(err, "remember tickets");
    return SHIM_FAILED;
  }
  return SHIM_OK;
}

static int use_key(const ticket_key *k, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int enc) {
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac,
                                      sizeof(k->mac)),
    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
    OSSL_PARAM_construct_end(),
  };

  return EVP_MAC_CTX_set_params(mac, params) == 1 &&
         EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, enc) == 1;
}

/* The first key makes tickets, all read them. A client that used one gets a new one
 * (2): it should use each once (RFC 8446, C.4). */
static int ticket_key_cb(SSL *ssl, unsigned char *name, unsigned char *iv,
                         EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc) {
  const ticket_keys *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index);
  size_t i;

  if (enc) {
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) {
      return -1;
    }
    memcpy(name, keys->key[0].name, sizeof(keys->key[0].name));
    return use_key(&keys->key[0], iv, cipher, mac, 1) ? 1 : -1;
  }
  for (i = 0; i < keys->len; i++) {
    if (memcmp(name, keys->key[i].name, sizeof(keys->key[i].name)) == 0) {
      return use_key(&keys->key[i], iv, cipher, mac, 0) ? 2 : -1;
    }
  }
  return 0;
}

int shim_tlsctx_set_ticket_keys(SSL_CTX *ctx, const uint8_t *keys, size_t len,
                                shim_error *err) {
  ticket_keys *k;

  ERR_clear_error();
  shim_ssl_slots();
  k = OPENSSL_zalloc(sizeof(*k) + len);
  if (k == NULL || SSL_CTX_set_ex_data(ctx, keys_index, k) != 1) {
    OPENSSL_free(k);
    shim_error_take(err, "set ticket keys");
    return SHIM_FAILED;
  }
  k->len = len / sizeof(k->key[0]);
  memcpy(k->key, keys, k->len * sizeof(k->key[0]));
  SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_cb);
  return SHIM_OK;
}

/* --- client --- */

/* Keeps the newest session for whoever drives the SSL. 1: the reference is ours. */
static int keep_session(SSL *ssl, SSL_SESSION *session) {
  SSL_SESSION *old = SSL_get_ex_data(ssl, slots.session);

  if (SSL_set_ex_data(ssl, slots.session, session) != 1) {
    return 0;
  }
  SSL_SESSION_free(old);
  return 1;
}

void shim_tlsctx_use_sessions(SSL_CTX *ctx, int server, int early_data) {
  shim_ssl_slots();
  if (!server) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    return;
  }
  SSL_CTX_set_session_ticket_cb(ctx, bind_ticket, check_ticket, NULL);
  SSL_CTX_set_timeout(ctx, SHIM_TICKET_LIFETIME);
  if (early_data) {
    /* RFC 9001, 4.6.1: the limit is always this value. OpenSSL's own protection
     * against replay would need a cache of all sessions. */
    SSL_CTX_set_max_early_data(ctx, UINT32_MAX);
    SSL_CTX_set_options(ctx, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_allow_early_data_cb(ctx, allow_early, NULL);
  }
}

int shim_tls_set_session(SSL *ssl, const uint8_t *der, size_t len, shim_error *err) {
  SSL_SESSION *s;
  int early;

  ERR_clear_error();
  s = len > INT32_MAX ? NULL : d2i_SSL_SESSION(NULL, &der, (long)len);
  /* A session keeps the verdict on its server: one that was not verified must not
   * slip into a context that verifies. */
  if (s == NULL || !shim_tlsctx_owns_session(SSL_get_SSL_CTX(ssl), s) ||
      SSL_set_session(ssl, s) != 1 ||
      ((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 &&
       SSL_get_verify_result(ssl) != X509_V_OK)) {
    shim_error_take(err, "set session");
    SSL_SESSION_free(s);
    return SHIM_FAILED;
  }
  early = SSL_SESSION_get_max_early_data(s) == UINT32_MAX;
  SSL_SESSION_free(s);
  return early;
}
