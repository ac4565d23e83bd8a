#include "shim.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

/* SNI carries names only (RFC 6066, 3); an address is verified, not sent. */
static int expect_peer(SSL *ssl, const shim_tls_request *req) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

  if (req->iplen != 0) {
    return X509_VERIFY_PARAM_set1_ip(param, req->ip, req->iplen);
  }
  if (req->name[0] == '\0') {
    return 1;
  }
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(param, req->name, 0) == 1 &&
         SSL_set_tlsext_host_name(ssl, req->name) == 1;
}

SSL *shim_tls_new(SSL_CTX *ctx, shim_tls_request *req) {
  SSL *ssl;

  ERR_clear_error();
  ssl = SSL_new(ctx);
  if (ssl == NULL) {
    shim_error_take(&req->err, "SSL_new");
    return NULL;
  }
  if (req->server) {
    SSL_set_accept_state(ssl);
    return ssl;
  }
  SSL_set_connect_state(ssl);
  if (expect_peer(ssl, req) != 1) {
    shim_error_take(&req->err, "set server name");
    SSL_free(ssl);
    return NULL;
  }
  return ssl;
}

static void copy_label(char *dst, size_t len, const char *src) {
  OPENSSL_strlcpy(dst, src == NULL ? "" : src, len);
}

/* A certificate is there, it was asked for with verification on, and it passed. */
static int peer_verified(SSL *ssl) {
  return (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 &&
         SSL_get0_peer_certificate(ssl) != NULL &&
         SSL_get_verify_result(ssl) == X509_V_OK;
}

void shim_tls_read_state(SSL *ssl, shim_tls_state *out) {
  const unsigned char *alpn;
  unsigned int alpn_len;

  copy_label(out->version, sizeof(out->version), SSL_get_version(ssl));
  copy_label(out->cipher, sizeof(out->cipher), SSL_get_cipher_name(ssl));
  /* SSL_get0_group_name reads through the session without looking for it. */
  copy_label(out->group, sizeof(out->group),
             SSL_get0_session(ssl) == NULL ? NULL : SSL_get0_group_name(ssl));
  copy_label(out->server_name, sizeof(out->server_name),
             SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
  out->alpn_len = alpn_len < sizeof(out->alpn) ? alpn_len : 0;
  if (out->alpn_len != 0) {
    memcpy(out->alpn, alpn, out->alpn_len);
  }
  out->resumed = (uint32_t)SSL_session_reused(ssl);
  out->early_data = SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED;
  out->early_rejected = SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_REJECTED;
  out->verified = (uint32_t)peer_verified(ssl);
}

/* The certificates to hand out, new references, leaf first. NULL: none. */
static STACK_OF(X509) *peer_chain(SSL *ssl, int verified) {
  X509 *leaf = SSL_get0_peer_certificate(ssl);
  STACK_OF(X509) *chain = verified ? SSL_get0_verified_chain(ssl)
                                   : SSL_get_peer_cert_chain(ssl);
  STACK_OF(X509) *out;

  if (leaf == NULL || (verified && (chain == NULL || !peer_verified(ssl)))) {
    return NULL;
  }
  out = chain == NULL ? sk_X509_new_null() : X509_chain_up_ref(chain);
  /* On a server the chain that the peer sent comes without its leaf. */
  if (out != NULL && (sk_X509_num(out) == 0 || X509_cmp(sk_X509_value(out, 0), leaf) != 0) &&
      X509_add_cert(out, leaf, X509_ADD_FLAG_UP_REF | X509_ADD_FLAG_PREPEND) != 1) {
    OSSL_STACK_OF_X509_free(out);
    return NULL;
  }
  return out;
}

/* With dst NULL: how many bytes. -1: OpenSSL failed. */
static long encode_chain(const STACK_OF(X509) *chain, uint8_t *dst) {
  long total = 0;
  int i, n;

  for (i = 0; i < sk_X509_num(chain); i++) {
    n = i2d_X509(sk_X509_value(chain, i), dst == NULL ? NULL : &dst);
    if (n < 0) {
      return -1;
    }
    total += n;
  }
  return total;
}

uint8_t *shim_tls_peer_chain(SSL *ssl, int verified, size_t *len, shim_error *err) {
  STACK_OF(X509) *chain;
  uint8_t *der = NULL;
  long total;

  ERR_clear_error();
  *len = 0;
  err->text[0] = '\0';
  chain = peer_chain(ssl, verified);
  if (chain == NULL) {
    return NULL;
  }
  total = encode_chain(chain, NULL);
  if (total <= 0 || (der = OPENSSL_malloc((size_t)total)) == NULL ||
      encode_chain(chain, der) != total) {
    shim_error_take(err, "encode peer certificates");
    OPENSSL_free(der);
    der = NULL;
    total = 0;
  }
  OSSL_STACK_OF_X509_free(chain);
  *len = (size_t)total;
  return der;
}

void shim_free(void *p) { OPENSSL_free(p); }
