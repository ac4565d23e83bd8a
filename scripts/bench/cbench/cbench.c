/* cbench: what bare ngtcp2 and OpenSSL cost on this machine, to hold the server
 * against. A client and a server in one thread, datagrams passed in memory, a
 * virtual clock; no sockets, no Go. CPU time is that of the thread, taken around
 * the calls of one endpoint at a time.
 *
 * Prints one line per figure: name value unit. */
#include <getopt.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

enum {
  PAYLOAD = 1200,     /* UDP payload of every datagram, in bytes */
  QUEUE = 64,         /* datagrams that one turn may send */
  CID_LEN = 18,
  WARM_UP = 20,       /* handshakes that are not counted */
  MAX_TURNS = 200000, /* a conversation longer than this hangs */
};

static const ngtcp2_duration TURN = 50 * NGTCP2_MICROSECONDS; /* one way, in virtual time */
static const ngtcp2_duration SETTLE = 300 * NGTCP2_MILLISECONDS; /* past delayed ACKs and PTO */
static const uint64_t WINDOW = 64 << 20;

typedef struct queue {
  size_t n;
  size_t len[QUEUE];
  uint8_t data[QUEUE][PAYLOAD];
} queue;

typedef struct endpoint {
  ngtcp2_conn *conn;
  ngtcp2_crypto_ossl_ctx *ossl;
  ngtcp2_crypto_conn_ref ref;
  SSL *ssl;
  bool completed;
  int64_t stream;    /* stream to send on, -1: none */
  uint64_t to_send;  /* bytes of it that are left */
  uint64_t received; /* bytes on all streams */
  uint64_t cpu;      /* nanoseconds in this endpoint's turns */
} endpoint;

typedef struct options {
  long handshakes, connections, bulk_mb;
  const char *groups;
} options;

static ngtcp2_tstamp now = NGTCP2_SECONDS;
static queue to_server, to_client;
static SSL_CTX *server_ctx, *client_ctx;
static struct sockaddr_in server_addr, client_addr;
static const uint8_t bulk[PAYLOAD];

static void fail(const char *format, ...) {
  va_list args;

  va_start(args, format);
  fprintf(stderr, "cbench: ");
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  va_end(args);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static void check(bool ok, const char *what) {
  if (!ok) {
    fail("%s", what);
  }
}

static void check_ngtcp2(ngtcp2_ssize rv, const char *what) {
  if (rv < 0) {
    fail("%s: %s", what, ngtcp2_strerror((int)rv));
  }
}

static uint64_t cpu_now(void) {
  struct timespec ts;

  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- TLS ---- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                       const unsigned char *in, unsigned int inlen, void *arg) {
  unsigned char *chosen;
  (void)ssl, (void)arg;

  if (SSL_select_next_proto(&chosen, outlen, (const unsigned char *)"\4mqtt", 5, in,
                            inlen) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

static X509 *self_signed(EVP_PKEY *key) {
  X509 *cert = X509_new();
  X509_NAME *name;

  check(cert != NULL, "X509_new");
  name = X509_get_subject_name(cert);
  check(X509_set_version(cert, X509_VERSION_3) &&
          ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
          X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
          X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL &&
          X509_set_pubkey(cert, key) &&
          X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     (const unsigned char *)"localhost", -1, -1, 0) &&
          X509_set_issuer_name(cert, name) && X509_sign(cert, key, EVP_sha256()) > 0,
        "make certificate");
  return cert;
}

static SSL_CTX *new_ctx(const SSL_METHOD *method, const char *groups) {
  SSL_CTX *ctx = SSL_CTX_new(method);

  check(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
          SSL_CTX_set1_groups_list(ctx, groups) &&
          SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"),
        "SSL_CTX");
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  return ctx;
}

static void make_contexts(const char *groups) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert;

  check(key != NULL, "EVP_EC_gen");
  cert = self_signed(key);
  server_ctx = new_ctx(TLS_server_method(), groups);
  client_ctx = new_ctx(TLS_client_method(), groups);
  check(SSL_CTX_use_certificate(server_ctx, cert) && SSL_CTX_use_PrivateKey(server_ctx, key) &&
          SSL_CTX_set_session_id_context(server_ctx, (const unsigned char *)"cbench", 6) &&
          SSL_CTX_set_alpn_protos(client_ctx, (const unsigned char *)"\4mqtt", 5) == 0,
        "configure SSL_CTX");
  SSL_CTX_set_mode(server_ctx, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_alpn_select_cb(server_ctx, select_alpn, NULL);
  X509_free(cert);
  EVP_PKEY_free(key);
}

static ngtcp2_conn *conn_of_ref(ngtcp2_crypto_conn_ref *ref) {
  return ((endpoint *)ref->user_data)->conn;
}

static void attach_tls(endpoint *ep, bool server) {
  ep->ssl = SSL_new(server ? server_ctx : client_ctx);
  check(ep->ssl != NULL && ngtcp2_crypto_ossl_ctx_new(&ep->ossl, ep->ssl) == 0, "SSL_new");
  ep->ref = (ngtcp2_crypto_conn_ref){.get_conn = conn_of_ref, .user_data = ep};
  SSL_set_app_data(ep->ssl, &ep->ref);
  if (server) {
    SSL_set_accept_state(ep->ssl);
    check(ngtcp2_crypto_ossl_configure_server_session(ep->ssl) == 0, "configure server session");
  } else {
    SSL_set_connect_state(ep->ssl);
    SSL_set_tlsext_host_name(ep->ssl, "localhost");
    check(ngtcp2_crypto_ossl_configure_client_session(ep->ssl) == 0, "configure client session");
  }
  ngtcp2_conn_set_tls_native_handle(ep->conn, ep->ossl);
}

static void free_tls(endpoint *ep) {
  if (ep->ssl != NULL) {
    SSL_set_app_data(ep->ssl, NULL);
    SSL_free(ep->ssl);
    ngtcp2_crypto_ossl_ctx_set_ssl(ep->ossl, NULL);
    ep->ssl = NULL;
  }
}

/* ---- ngtcp2 ---- */

static void random_bytes(uint8_t *dst, size_t len, const ngtcp2_rand_ctx *ctx) {
  (void)ctx;
  check(RAND_bytes(dst, (int)len) == 1, "RAND_bytes");
}

static int new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user) {
  (void)conn, (void)user;
  cid->datalen = len;
  random_bytes(cid->data, len, NULL);
  random_bytes(token, NGTCP2_STATELESS_RESET_TOKENLEN, NULL);
  return 0;
}

static int on_completed(ngtcp2_conn *conn, void *user) {
  (void)conn;
  ((endpoint *)user)->completed = true;
  return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream_user) {
  (void)flags, (void)offset, (void)data, (void)stream_user;
  ((endpoint *)user)->received += len;
  ngtcp2_conn_extend_max_offset(conn, len);
  return ngtcp2_conn_extend_max_stream_offset(conn, stream, len);
}

static const ngtcp2_callbacks callbacks = {
  .client_initial = ngtcp2_crypto_client_initial_cb,
  .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
  .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
  .handshake_completed = on_completed,
  .encrypt = ngtcp2_crypto_encrypt_cb,
  .decrypt = ngtcp2_crypto_decrypt_cb,
  .hp_mask = ngtcp2_crypto_hp_mask_cb,
  .recv_stream_data = on_stream_data,
  .recv_retry = ngtcp2_crypto_recv_retry_cb,
  .rand = random_bytes,
  .get_new_connection_id = new_cid,
  .update_key = ngtcp2_crypto_update_key_cb,
  .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
  .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
  .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
  .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

static ngtcp2_path path_of(bool server) {
  struct sockaddr_in *local = server ? &server_addr : &client_addr;
  struct sockaddr_in *remote = server ? &client_addr : &server_addr;

  return (ngtcp2_path){
    .local = {.addr = (ngtcp2_sockaddr *)local, .addrlen = sizeof(*local)},
    .remote = {.addr = (ngtcp2_sockaddr *)remote, .addrlen = sizeof(*remote)},
  };
}

static void configure(ngtcp2_settings *settings, ngtcp2_transport_params *params) {
  ngtcp2_settings_default(settings);
  settings->initial_ts = now;
  settings->max_tx_udp_payload_size = PAYLOAD;
  settings->no_pmtud = 1;
  ngtcp2_transport_params_default(params);
  params->initial_max_data = WINDOW;
  params->initial_max_stream_data_bidi_local = WINDOW;
  params->initial_max_stream_data_bidi_remote = WINDOW;
  params->initial_max_stream_data_uni = WINDOW;
  params->initial_max_streams_bidi = 16;
  params->initial_max_streams_uni = 16;
}

static ngtcp2_cid random_cid(void) {
  uint8_t bytes[CID_LEN];
  ngtcp2_cid cid;

  random_bytes(bytes, sizeof(bytes), NULL);
  ngtcp2_cid_init(&cid, bytes, sizeof(bytes));
  return cid;
}

static void reset(endpoint *ep) {
  *ep = (endpoint){.stream = -1};
}

static void client_open(endpoint *ep) {
  ngtcp2_cid dcid = random_cid(), scid = random_cid();
  ngtcp2_path path = path_of(false);
  ngtcp2_transport_params params;
  ngtcp2_settings settings;

  reset(ep);
  configure(&settings, &params);
  check_ngtcp2(ngtcp2_conn_client_new(&ep->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1,
                                      &callbacks, &settings, &params, NULL, ep),
               "ngtcp2_conn_client_new");
  attach_tls(ep, false);
}

/* server_open does what a server does for the first datagram of a client. */
static void server_open(endpoint *ep, const queue *in) {
  uint64_t start = cpu_now();
  ngtcp2_cid scid = random_cid();
  ngtcp2_path path = path_of(true);
  ngtcp2_transport_params params;
  ngtcp2_settings settings;
  ngtcp2_pkt_hd hd;

  reset(ep);
  check_ngtcp2(ngtcp2_accept(&hd, in->data[0], in->len[0]), "ngtcp2_accept");
  configure(&settings, &params);
  params.original_dcid = hd.dcid;
  params.original_dcid_present = 1;
  params.stateless_reset_token_present = 1;
  random_bytes(params.stateless_reset_token, sizeof(params.stateless_reset_token), NULL);
  check_ngtcp2(ngtcp2_conn_server_new(&ep->conn, &hd.scid, &scid, &path, hd.version, &callbacks,
                                      &settings, &params, NULL, ep),
               "ngtcp2_conn_server_new");
  attach_tls(ep, true);
  ep->cpu += cpu_now() - start;
}

static void close_endpoint(endpoint *ep) {
  uint64_t start = cpu_now();

  free_tls(ep);
  ngtcp2_crypto_ossl_ctx_del(ep->ossl);
  ngtcp2_conn_del(ep->conn);
  ep->conn = NULL;
  ep->cpu += cpu_now() - start;
}

/* ---- the conversation ---- */

static ngtcp2_ssize write_pkt(endpoint *ep, uint8_t *dst) {
  size_t want = ep->to_send < PAYLOAD ? (size_t)ep->to_send : PAYLOAD;
  ngtcp2_vec vec = {.base = (uint8_t *)bulk, .len = want};
  int64_t stream = want > 0 ? ep->stream : -1;
  ngtcp2_ssize taken = -1, n;
  ngtcp2_pkt_info info;

  n = ngtcp2_conn_writev_stream(ep->conn, NULL, &info, dst, PAYLOAD, &taken,
                                NGTCP2_WRITE_STREAM_FLAG_NONE, stream, &vec,
                                stream < 0 ? 0 : 1, now);
  if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
    return ngtcp2_conn_writev_stream(ep->conn, NULL, &info, dst, PAYLOAD, NULL,
                                     NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, now);
  }
  if (taken > 0) {
    ep->to_send -= (uint64_t)taken;
  }
  return n;
}

/* turn: read what came, serve the timer, write what is due. Its CPU time is the
 * endpoint's. */
static void turn(endpoint *ep, bool server, queue *in, queue *out) {
  uint64_t start = cpu_now();
  ngtcp2_path path = path_of(server);
  ngtcp2_pkt_info info = {0};
  ngtcp2_ssize n;

  for (size_t i = 0; i < in->n; i++) {
    check_ngtcp2(ngtcp2_conn_read_pkt(ep->conn, &path, &info, in->data[i], in->len[i], now),
                 server ? "server: ngtcp2_conn_read_pkt" : "client: ngtcp2_conn_read_pkt");
  }
  in->n = 0;
  if (ngtcp2_conn_get_expiry(ep->conn) <= now) {
    check_ngtcp2(ngtcp2_conn_handle_expiry(ep->conn, now), "ngtcp2_conn_handle_expiry");
  }
  while (out->n < QUEUE && (n = write_pkt(ep, out->data[out->n])) != 0) {
    check_ngtcp2(n, "ngtcp2_conn_writev_stream");
    out->len[out->n++] = (size_t)n;
  }
  ep->cpu += cpu_now() - start;
}

/* exchange: one datagram queue each way. */
static void exchange(endpoint *client, endpoint *server) {
  turn(server, true, &to_server, &to_client);
  now += TURN;
  turn(client, false, &to_client, &to_server);
  now += TURN;
}

/* handshake opens a connection and runs it until both ends are done and silent. */
static void handshake(endpoint *client, endpoint *server) {
  to_server.n = to_client.n = 0;
  client_open(client);
  turn(client, false, &to_client, &to_server);
  server_open(server, &to_server);
  for (int i = 0; i < MAX_TURNS; i++) {
    exchange(client, server);
    if (to_server.n == 0 && client->completed && server->completed) {
      return;
    }
  }
  fail("the handshake does not end");
}

static uint64_t next_expiry(endpoint *client, endpoint *server) {
  uint64_t a = ngtcp2_conn_get_expiry(client->conn), b = ngtcp2_conn_get_expiry(server->conn);

  return a < b ? a : b;
}

/* settle lets delayed acknowledgements and probes pass, so that both are idle. */
static void settle(endpoint *client, endpoint *server) {
  ngtcp2_tstamp end = now + SETTLE, next;

  while ((next = next_expiry(client, server)) < end || to_server.n > 0) {
    if (to_server.n == 0 && next > now) {
      now = next;
    }
    exchange(client, server);
  }
}

/* ---- figures ---- */

static void print(const char *name, double value, const char *unit) {
  printf("%s %.1f %s\n", name, value, unit);
}

static void measure_handshakes(long count) {
  uint64_t client_cpu = 0, server_cpu = 0;
  endpoint client, server;

  for (long i = -WARM_UP; i < count; i++) {
    handshake(&client, &server);
    close_endpoint(&client);
    close_endpoint(&server);
    if (i >= 0) {
      client_cpu += client.cpu;
      server_cpu += server.cpu;
    }
  }
  print("handshake_server_cpu", (double)server_cpu / (double)count / 1e3, "us");
  print("handshake_client_cpu", (double)client_cpu / (double)count / 1e3, "us");
  print("handshake_server_rate", 1e9 * (double)count / (double)server_cpu, "1/s");
}

static size_t heap_in_use(void) {
  struct mallinfo2 info = mallinfo2();

  check(info.uordblks > 0, "the allocator keeps no account (mallinfo2): use --connections 0");
  return info.uordblks + info.hblkhd;
}

static void measure_idle(long count) {
  endpoint *servers = calloc((size_t)count, sizeof(*servers)), client;
  size_t before, with_ssl;

  check(servers != NULL, "calloc");
  before = heap_in_use();
  for (long i = 0; i < count; i++) {
    handshake(&client, &servers[i]);
    settle(&client, &servers[i]);
    close_endpoint(&client);
  }
  with_ssl = heap_in_use();
  for (long i = 0; i < count; i++) {
    free_tls(&servers[i]);
  }
  print("idle_conn_heap", (double)(with_ssl - before) / (double)count, "bytes");
  print("idle_conn_heap_no_ssl", (double)(heap_in_use() - before) / (double)count, "bytes");
  for (long i = 0; i < count; i++) {
    close_endpoint(&servers[i]);
  }
  free(servers);
}

static void measure_bulk(long megabytes) {
  uint64_t total = (uint64_t)megabytes << 20;
  endpoint client, server;

  handshake(&client, &server);
  settle(&client, &server);
  client.cpu = server.cpu = 0;
  check_ngtcp2(ngtcp2_conn_open_uni_stream(server.conn, &server.stream, NULL),
               "ngtcp2_conn_open_uni_stream");
  server.to_send = total;
  while (client.received < total) {
    ngtcp2_tstamp next = next_expiry(&client, &server);
    if (to_server.n == 0 && server.to_send == 0 && next != UINT64_MAX && next > now) {
      now = next;
    }
    exchange(&client, &server);
  }
  print("bulk_send_server", 8.0 * (double)total / (double)server.cpu, "Gbit/s");
  print("bulk_receive_client", 8.0 * (double)total / (double)client.cpu, "Gbit/s");
  close_endpoint(&client);
  close_endpoint(&server);
}

/* ---- command line ---- */

static const char usage[] =
  "usage: cbench [--handshakes N] [--connections N] [--bulk MIB] [--groups LIST]\n"
  "  --handshakes N   full handshakes to time (500); 0: leave out\n"
  "  --connections N  idle connections to weigh (200); 0: leave out\n"
  "  --bulk MIB       MiB to send (256); 0: leave out\n"
  "  --groups LIST    key exchange groups of both ends (X25519)\n";

static long number(const char *text) {
  char *end;
  long n = strtol(text, &end, 10);

  if (*text == '\0' || *end != '\0' || n < 0 || n > 10000000) {
    fail("%s is not a number from 0 to 10000000", text);
  }
  return n;
}

static options parse(int argc, char **argv) {
  static const struct option longs[] = {
    {"handshakes", required_argument, NULL, 'n'}, {"connections", required_argument, NULL, 'c'},
    {"bulk", required_argument, NULL, 'b'},       {"groups", required_argument, NULL, 'g'},
    {"help", no_argument, NULL, 'h'},             {NULL, 0, NULL, 0},
  };
  options o = {.handshakes = 500, .connections = 200, .bulk_mb = 256, .groups = "X25519"};
  int c;

  while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
    switch (c) {
    case 'n': o.handshakes = number(optarg); break;
    case 'c': o.connections = number(optarg); break;
    case 'b': o.bulk_mb = number(optarg); break;
    case 'g': o.groups = optarg; break;
    case 'h': fputs(usage, stdout); exit(0);
    default: fputs(usage, stderr); exit(2);
    }
  }
  return o;
}

static void set_address(struct sockaddr_in *addr, uint16_t port) {
  addr->sin_family = AF_INET;
  addr->sin_port = htons(port);
  addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

int main(int argc, char **argv) {
  options o = parse(argc, argv);

  check(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1, "OPENSSL_init_ssl");
  check(ngtcp2_crypto_ossl_init() == 0, "ngtcp2_crypto_ossl_init");
  set_address(&server_addr, 14567);
  set_address(&client_addr, 40000);
  make_contexts(o.groups);
  fprintf(stderr, "cbench: ngtcp2 %s, %s, groups %s, P-256 certificate, %d-byte datagrams\n",
          ngtcp2_version(0)->version_str, OpenSSL_version(OPENSSL_VERSION), o.groups, PAYLOAD);
  if (o.handshakes > 0) {
    measure_handshakes(o.handshakes);
  }
  if (o.connections > 0) {
    measure_idle(o.connections);
  }
  if (o.bulk_mb > 0) {
    measure_bulk(o.bulk_mb);
  }
  SSL_CTX_free(server_ctx);
  SSL_CTX_free(client_ctx);
  ngtcp2_crypto_ossl_free();
  return 0;
}
