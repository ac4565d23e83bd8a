/* cbench: what bare ngtcp2 and OpenSSL cost on this machine, to hold the server
 * against. A client and a server in one thread, datagrams passed in memory, a
 * virtual clock; no sockets, no Go. CPU time is that of the thread, taken around
 * the calls of one endpoint at a time. (And a transfer over UDP: sockets.c.)
 *
 * Prints one line per figure: name value unit. */
#include "cbench.h"

#include <getopt.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
  PAYLOAD = 1200,     /* UDP payload of every datagram, in bytes */
  QUEUE = 64,         /* datagrams that one turn may send */
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

typedef struct options {
  long handshakes, connections, bulk_mb, sockets_mb, window_kb;
  const char *groups;
} options;

static ngtcp2_tstamp now = NGTCP2_SECONDS;
static queue to_server, to_client;
static struct sockaddr_in server_addr, client_addr;
static const uint8_t bulk[PAYLOAD];

static uint64_t cpu_now(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static ngtcp2_path path_of(bool server) {
  struct sockaddr_in *local = server ? &server_addr : &client_addr;
  struct sockaddr_in *remote = server ? &client_addr : &server_addr;

  return (ngtcp2_path){
    .local = {.addr = (ngtcp2_sockaddr *)local, .addrlen = sizeof(*local)},
    .remote = {.addr = (ngtcp2_sockaddr *)remote, .addrlen = sizeof(*remote)},
  };
}

/* memory_terms: datagrams of PAYLOAD bytes, and no probes. */
static terms memory_terms(bool server) {
  terms t;

  terms_default(&t, WINDOW, now);
  t.path = path_of(server);
  t.settings.max_tx_udp_payload_size = PAYLOAD;
  t.settings.no_pmtud = 1;
  return t;
}

static void memory_client(endpoint *ep) {
  terms t = memory_terms(false);

  client_open(ep, &t);
}

static void memory_server(endpoint *ep, const queue *in) {
  uint64_t start = cpu_now();
  terms t = memory_terms(true);

  server_open(ep, &t, in->data[0], in->len[0]);
  ep->cpu += cpu_now() - start;
}

static void close_endpoint(endpoint *ep) {
  uint64_t start = cpu_now();

  free_endpoint(ep);
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
  memory_client(client);
  turn(client, false, &to_client, &to_server);
  memory_server(server, &to_server);
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
  "              [--sockets MIB] [--window KIB]\n"
  "  --handshakes N   full handshakes to time (500); 0: leave out\n"
  "  --connections N  idle connections to weigh (200); 0: leave out\n"
  "  --bulk MIB       MiB to send (256); 0: leave out\n"
  "  --groups LIST    key exchange groups of both ends (X25519)\n"
  "  --sockets MIB    MiB to send over UDP sockets (1024); 0: leave out\n"
  "  --window KIB     stream and connection window over sockets (4096)\n";

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
    {"sockets", required_argument, NULL, 's'},     {"window", required_argument, NULL, 'w'},
    {"help", no_argument, NULL, 'h'},             {NULL, 0, NULL, 0},
  };
  options o = {.handshakes = 500, .connections = 200, .bulk_mb = 256, .sockets_mb = 1024, .window_kb = 4096,
               .groups = "X25519"};
  int c;

  while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
    switch (c) {
    case 'n': o.handshakes = number(optarg); break;
    case 'c': o.connections = number(optarg); break;
    case 'b': o.bulk_mb = number(optarg); break;
    case 'g': o.groups = optarg; break;
    case 's': o.sockets_mb = number(optarg); break;
    case 'w': o.window_kb = number(optarg); break;
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
  if (o.sockets_mb > 0) {
    measure_sockets(o.sockets_mb, (uint64_t)o.window_kb << 10);
  }
  free_contexts();
  ngtcp2_crypto_ossl_free();
  return 0;
}
