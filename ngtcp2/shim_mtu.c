// Black hole detection (RFC 8899 section 4.3). ngtcp2 raises the datagram size by
// probes and never lowers it: on a path that becomes narrower and does not say so
// every full datagram would be lost until the idle timeout.
//
// Without an acknowledgement for two probe timeouts the next probes are sent with
// 1200 bytes. When they arrive, that stays the limit. When they do not, the path
// may be down altogether: full and short datagrams take turns then, and an answer
// lifts the limit.
#include "shim_int.h"

enum {
  BASE = NGTCP2_MAX_UDP_PAYLOAD_SIZE, // every QUIC path carries it
  SUSPECT = 2, // probe timeouts in a row after which a narrow path is likely
  OUTAGE = 4,  // probe timeouts in a row that no narrow path explains
  BACKOFF_MAX = 10, // doublings of the probe timeout
};

// RAISE_AFTER is when a limit is lifted to see whether the path has become wider
// (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER). If not, it costs two probe timeouts.
#define RAISE_AFTER (600 * NGTCP2_SECONDS)

// shim_mtu_progress is called when the peer has acknowledged something.
void shim_mtu_progress(shim_conn *c, uint64_t ts) {
  shim_mtu *m = &c->mtu;
  if (m->ptos >= OUTAGE) {
    m->narrow = 0;
  }
  m->ptos = 0;
  m->since = ts;
}

// moved reports whether acknowledgements came since the last look: each of them
// gives a round trip time.
static int moved(shim_mtu *m, const ngtcp2_conn_info *i) {
  uint64_t rtt = i->latest_rtt + 3 * i->smoothed_rtt + 5 * i->rttvar;
  int differs = rtt != m->rtt;
  m->rtt = rtt;
  return differs || i->bytes_in_flight == 0;
}

// shim_mtu_expire looks at a timer's time whether a probe timeout has passed.
void shim_mtu_expire(shim_conn *c, uint64_t ts) {
  shim_mtu *m = &c->mtu;
  ngtcp2_conn_info info;
  ngtcp2_conn_get_conn_info2(c->conn, &info);
  if (m->narrow && ts - m->narrowed >= RAISE_AFTER) {
    m->narrow = 0;
  }
  if (moved(m, &info)) {
    shim_mtu_progress(c, ts);
    return;
  }
  uint32_t doublings = m->ptos < BACKOFF_MAX ? m->ptos : BACKOFF_MAX;
  if (ts < m->since + (ngtcp2_conn_get_pto2(c->conn) << doublings)) {
    return;
  }
  m->since = ts;
  ++m->ptos;
  m->narrow = m->ptos >= SUSPECT && m->ptos % 2 == 0;
  m->narrowed = ts;
}

// shim_mtu_limit is the size of the datagrams to send on the current path.
size_t shim_mtu_limit(shim_conn *c) {
  size_t n = ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->conn);
  if (n <= BASE) {
    c->mtu.narrow = 0; // another path: ngtcp2 starts again from here
  }
  return c->mtu.narrow ? BASE : n;
}
