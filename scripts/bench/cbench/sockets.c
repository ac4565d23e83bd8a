/* The same stack over UDP sockets: a client sends one stream to a server, each in a
 * thread of its own, with the batch calls of the server under test: recvmmsg with
 * UDP_GRO, sendmmsg with UDP_SEGMENT. */
#define _GNU_SOURCE
#include "cbench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  IN = 16,            /* messages of one recvmmsg */
  OUT = 4,            /* runs of one sendmmsg */
  SLOT = 64 << 10,    /* bytes of a message or run */
  RUN = 45,           /* packets of a run: a send quantum */
  CONTROL = 64,       /* bytes of control data of a message */
  SOCKET_BUFFER = 7 << 20,
  MAX_DATAGRAM = 2048,
  MAX_WAIT = 20,      /* milliseconds until a waiting side looks whether it is over */
};

typedef struct message {
  struct iovec iov;
  uint8_t control[CONTROL] __attribute__((aligned(sizeof(size_t))));
  uint8_t data[SLOT];
} message;

typedef struct side {
  endpoint ep;
  bool server;
  int fd;
  uint64_t total, burst;
  ngtcp2_tstamp begin, end; /* of the transfer: the client's begin, the server's end */
  struct sockaddr_in local, remote;
  struct mmsghdr in_hdr[IN], out_hdr[OUT];
  message in[IN], out[OUT];
  size_t n_out;
  terms terms;
} side;

static atomic_bool over;
static const uint8_t bulk[SLOT];

static ngtcp2_tstamp ticks(void) { return clock_ns(CLOCK_MONOTONIC); }

/* ---- sockets ---- */

static void open_socket(side *s) {
  int size = SOCKET_BUFFER, on = 1;
  socklen_t len = sizeof(s->local);

  s->local = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  check(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&s->local, sizeof(s->local)) == 0 &&
          getsockname(s->fd, (struct sockaddr *)&s->local, &len) == 0,
        "UDP socket");
  if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
  }
  if (setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0) {
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
  }
  check(setsockopt(s->fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) == 0 &&
          setsockopt(s->fd, SOL_IP, IP_RECVTOS, &on, sizeof(on)) == 0,
        "UDP_GRO");
}

static void join_sockets(side *a, side *b) {
  a->remote = b->local;
  b->remote = a->local;
  for (int i = 0; i < 2; i++) {
    side *s = i == 0 ? a : b;
    s->terms.path = (ngtcp2_path){
      .local = {.addr = (ngtcp2_sockaddr *)&s->local, .addrlen = sizeof(s->local)},
      .remote = {.addr = (ngtcp2_sockaddr *)&s->remote, .addrlen = sizeof(s->remote)},
    };
  }
}

/* ---- receive ---- */

static void arm(side *s) {
  for (int i = 0; i < IN; i++) {
    message *m = &s->in[i];
    m->iov = (struct iovec){m->data, SLOT};
    s->in_hdr[i].msg_hdr = (struct msghdr){
      .msg_iov = &m->iov, .msg_iovlen = 1, .msg_control = m->control, .msg_controllen = CONTROL};
  }
}

static size_t read_control(struct msghdr *h, ngtcp2_pkt_info *info) {
  int segment = 0;

  for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
      memcpy(&segment, CMSG_DATA(c), sizeof(segment));
    } else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_TOS) {
      info->ecn = *CMSG_DATA(c) & NGTCP2_ECN_MASK;
    }
  }
  return (size_t)segment;
}

static void take(side *s, const uint8_t *pkt, size_t len, const ngtcp2_pkt_info *info,
                 ngtcp2_tstamp ts) {
  if (s->ep.conn == NULL) {
    s->terms.settings.initial_ts = ts;
    server_open(&s->ep, &s->terms, pkt, len);
  }
  check_ngtcp2(ngtcp2_conn_read_pkt(s->ep.conn, &s->terms.path, info, pkt, len, ts),
               "ngtcp2_conn_read_pkt");
}

static void receive(side *s) {
  arm(s);
  int n = recvmmsg(s->fd, s->in_hdr, IN, MSG_DONTWAIT, NULL);
  ngtcp2_tstamp ts = ticks();

  check(n >= 0 || errno == EAGAIN || errno == EINTR, "recvmmsg");
  for (int i = 0; i < n; i++) {
    ngtcp2_pkt_info info = {0};
    size_t len = s->in_hdr[i].msg_len;
    size_t segment = read_control(&s->in_hdr[i].msg_hdr, &info);
    segment = segment == 0 ? len : segment;
    for (size_t off = 0; off < len; off += segment) {
      take(s, s->in[i].data + off, len - off < segment ? len - off : segment, &info, ts);
    }
  }
}

/* ---- send ---- */

static ngtcp2_ssize write_one(ngtcp2_conn *conn, ngtcp2_path *path, ngtcp2_pkt_info *info,
                              uint8_t *dst, size_t len, ngtcp2_tstamp ts, void *user) {
  endpoint *ep = user;
  size_t want = ep->to_send < sizeof(bulk) ? (size_t)ep->to_send : sizeof(bulk);
  ngtcp2_vec vec = {.base = (uint8_t *)bulk, .len = want};
  ngtcp2_ssize taken = -1, n;

  if (want > 0) {
    n = ngtcp2_conn_writev_stream(conn, path, info, dst, len, &taken,
                                  NGTCP2_WRITE_STREAM_FLAG_NONE, ep->stream, &vec, 1, ts);
    ep->to_send -= taken > 0 ? (uint64_t)taken : 0;
    if (n != NGTCP2_ERR_STREAM_DATA_BLOCKED) {
      return n;
    }
  }
  return ngtcp2_conn_writev_stream(conn, path, info, dst, len, NULL, NGTCP2_WRITE_STREAM_FLAG_NONE,
                                   -1, NULL, 0, ts);
}

static struct cmsghdr *put_control(struct msghdr *h, struct cmsghdr *c, int level, int type,
                                   size_t len) {
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(len);
  h->msg_controllen += CMSG_SPACE(len);
  return (struct cmsghdr *)((uint8_t *)c + CMSG_SPACE(len));
}

/* queue_run makes the message of one run. */
static void queue_run(side *s, size_t len, size_t segment, const ngtcp2_pkt_info *info) {
  message *m = &s->out[s->n_out];
  struct msghdr *h = &s->out_hdr[s->n_out++].msg_hdr;
  struct cmsghdr *c = (struct cmsghdr *)m->control;
  uint16_t size = (uint16_t)segment;
  int tos = (int)info->ecn;

  m->iov = (struct iovec){m->data, len};
  *h = (struct msghdr){.msg_name = &s->remote, .msg_namelen = sizeof(s->remote), .msg_iov = &m->iov,
                       .msg_iovlen = 1, .msg_control = m->control};
  memcpy(CMSG_DATA(c), &tos, sizeof(tos));
  c = put_control(h, c, SOL_IP, IP_TOS, sizeof(tos));
  if (len > segment) {
    memcpy(CMSG_DATA(c), &size, sizeof(size));
    put_control(h, c, SOL_UDP, UDP_SEGMENT, sizeof(size));
  }
}

/* fill writes up to OUT runs and reports whether there may be more. A burst between two
 * pauses stays within the send quantum, as ngtcp2 asks. */
static bool fill(side *s, ngtcp2_tstamp ts) {
  while (s->n_out < OUT) {
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info = {0};
    size_t segment = 0;

    ngtcp2_path_storage_zero(&path);
    ngtcp2_ssize n = ngtcp2_conn_write_aggregate_pkt2(s->ep.conn, &path.path, &info,
                                                      s->out[s->n_out].data, SLOT, &segment,
                                                      write_one, RUN, ts);
    check_ngtcp2(n, "ngtcp2_conn_write_aggregate_pkt2");
    s->burst += (uint64_t)n;
    if (n == 0 || s->burst + segment > ngtcp2_conn_get_send_quantum(s->ep.conn)) {
      ngtcp2_conn_update_pkt_tx_time(s->ep.conn, ts);
      s->burst = 0;
    }
    if (n == 0) {
      return false;
    }
    queue_run(s, (size_t)n, segment, &info);
  }
  return true;
}

static void wait_writable(side *s) {
  struct pollfd p = {.fd = s->fd, .events = POLLOUT};

  poll(&p, 1, MAX_WAIT);
}

static void transmit(side *s) {
  for (size_t done = 0; done < s->n_out;) {
    int n = sendmmsg(s->fd, s->out_hdr + done, (unsigned)(s->n_out - done), 0);
    check(n > 0 || errno == EAGAIN || errno == EINTR || errno == ENOBUFS, "sendmmsg");
    if (n > 0) {
      done += (size_t)n;
    } else {
      wait_writable(s);
    }
  }
  s->n_out = 0;
}

/* ---- the loop of one side ---- */

static void wait_readable(side *s) {
  struct pollfd p = {.fd = s->fd, .events = POLLIN};
  ngtcp2_tstamp ts = ticks(), at = s->ep.conn != NULL ? ngtcp2_conn_get_expiry(s->ep.conn) : UINT64_MAX;
  uint64_t wait = at > ts ? at - ts : 0;
  uint64_t most = MAX_WAIT * NGTCP2_MILLISECONDS;
  struct timespec t = {.tv_nsec = (long)(wait < most ? wait : most)};

  ppoll(&p, 1, &t, NULL);
}

/* begin_transfer opens the stream when the handshake is complete. */
static void begin_transfer(side *s) {
  if (!s->server && s->ep.completed && s->ep.stream < 0) {
    check_ngtcp2(ngtcp2_conn_open_uni_stream(s->ep.conn, &s->ep.stream, NULL),
                 "ngtcp2_conn_open_uni_stream");
    s->ep.to_send = s->total;
    s->begin = ticks();
  }
}

static void *run(void *arg) {
  side *s = arg;
  bool more = !s->server;

  while (!atomic_load(&over)) {
    if (!more) {
      wait_readable(s);
    }
    receive(s);
    if (s->ep.conn == NULL) {
      continue;
    }
    if (s->server && s->ep.received == s->total) {
      s->end = ticks();
      atomic_store(&over, true);
    }
    begin_transfer(s);
    ngtcp2_tstamp ts = ticks();
    if (ngtcp2_conn_get_expiry(s->ep.conn) <= ts) {
      check_ngtcp2(ngtcp2_conn_handle_expiry(s->ep.conn, ts), "ngtcp2_conn_handle_expiry");
    }
    more = fill(s, ts);
    transmit(s);
  }
  return NULL;
}

static side *new_side(bool server, uint64_t total, uint64_t window) {
  side *s = calloc(1, sizeof(*s));

  check(s != NULL, "calloc");
  s->server = server;
  s->total = total;
  open_socket(s);
  terms_default(&s->terms, window, ticks());
  s->terms.params.max_udp_payload_size = MAX_DATAGRAM;
  return s;
}

static void free_side(side *s) {
  free_endpoint(&s->ep);
  close(s->fd);
  free(s);
}

void measure_sockets(long megabytes, uint64_t window) {
  uint64_t total = (uint64_t)megabytes << 20, cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  side *server = new_side(true, total, window), *client = new_side(false, total, window);
  pthread_t threads[2];

  join_sockets(server, client);
  client_open(&client->ep, &client->terms);
  check(pthread_create(&threads[0], NULL, run, server) == 0 &&
          pthread_create(&threads[1], NULL, run, client) == 0,
        "pthread_create");
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  print("sockets_wall", (double)(server->end - client->begin) / 1e3 / (double)megabytes, "us/MiB");
  print("sockets_cpu", (double)cpu / 1e3 / (double)megabytes, "us/MiB");
  free_side(server);
  free_side(client);
}
