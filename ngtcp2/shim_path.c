// What a program starts on a running connection: key updates and migration.
#include "shim_int.h"

#include <string.h>

// ready reports whether the connection is in its data phase: ngtcp2 aborts on
// these calls at any other time.
static int ready(shim_conn *c) {
  return c->fatal == 0 && (c->state & SHIM_STATE_HANDSHAKE_CONFIRMED) &&
         !ngtcp2_conn_in_closing_period2(c->conn) &&
         !ngtcp2_conn_in_draining_period2(c->conn);
}

// shim_path_wake sees to it that a path in use does not start in silence. ngtcp2
// stops the loss detection timer when the path changes, and starts it again with
// the next packet that must be acknowledged. A path that is validated already needs
// no PATH_CHALLENGE: when nothing new is to be sent either, what was lost on the old
// path would wait until the idle timeout. A PING starts the timer, and its
// acknowledgement tells what was lost. Only a keep-alive makes one.
void shim_path_wake(shim_conn *c, const ngtcp2_conn_info *info) {
  if (!(c->state & SHIM_STATE_HANDSHAKE_CONFIRMED)) {
    return;
  }
  int silent = info->min_rtt == UINT64_MAX && info->bytes_in_flight == 0;
  if (silent != c->wake) {
    c->wake = (uint8_t)silent;
    ngtcp2_conn_set_keep_alive_timeout(c->conn, silent ? 1 : c->keep_alive);
  }
}

// --- a congestion window that is full ---
//
// ngtcp2 writes nothing but acknowledgements then, until an acknowledgement or the probe
// timeout comes. Two things keep both from coming, until the idle timeout.

enum {
  GUARDED = 16,   // packets: ngtcp2 remembers 4 PATH_CHALLENGEs
  FIRST_BYTE = 1, // of a short header
  NUMBER_MIN = 1, // bytes of a packet number
  NUMBER_MAX = 4,
  PING = 1,          // bytes of the frame
  PATH_RESPONSE = 9, // the same
  TAG = 16,          // bytes, of every AEAD of QUIC
  EXPANSION = 22,    // ngtcp2 writes no packet that is shorter than its own CID and this
};

// shim_path_challenged: the packets of PATH_RESPONSEs, of 1200 bytes each, count as in
// flight, but ngtcp2 starts no probe timeout for them: the first thing. When they are lost
// and fill the window, nobody ever learns. So a PING goes before the packet that may do so:
// its timeout or its acknowledgement ends that.
void shim_path_challenged(shim_conn *c) {
  if (c->state & SHIM_STATE_HANDSHAKE_CONFIRMED) {
    c->guards = GUARDED;
  }
}

// shim_path_guard_len is the length of a packet of a PING that has no room for a
// PATH_RESPONSE, which ngtcp2 would put first. 0: the peer's CID is too short for that.
size_t shim_path_guard_len(shim_conn *c) {
  size_t around = FIRST_BYTE + ngtcp2_conn_get_dcid2(c->conn)->datalen + TAG;
  size_t len = around + NUMBER_MAX + PING, least = c->scid_len + (size_t)EXPANSION;
  len = len > least ? len : least;
  return len < around + NUMBER_MIN + PATH_RESPONSE ? len : 0;
}

// shim_path_guard: a keep-alive of 1 ns makes the PING, and a time that is later than the
// last packet's.
int shim_path_guard(shim_conn *c, size_t pktlen) {
  uint64_t left = ngtcp2_conn_get_cwnd_left2(c->conn);
  int guarded = c->guarded;
  if (c->guards == 0 || left == 0) {
    return 0;
  }
  --c->guards;
  c->guarded = 0;
  if (guarded || left > pktlen || shim_path_guard_len(c) == 0) {
    return 0;
  }
  c->guard = 1;
  ++c->last_ts;
  ngtcp2_conn_set_keep_alive_timeout(c->conn, 1);
  return 1;
}

// shim_path_unguard: n bytes were written.
void shim_path_unguard(shim_conn *c, ngtcp2_ssize n) {
  c->guard = 0;
  c->guarded = n > 0;
  ngtcp2_conn_set_keep_alive_timeout(c->conn, c->wake ? 1 : c->keep_alive);
}

enum {
  LONG_HEADER = 0x80,
  AMPLIFICATION = 3, // RFC 9000 section 8.1
};

// shim_path_begun, shim_path_ended: the validation of a path. While a server validates the
// one in use, it may send there three times what came from there. ngtcp2 stops the loss
// detection timer when it is asked for a packet and nothing is left of that, and starts
// it with the next packet only that goes in flight: the second thing. So it is not asked then.
void shim_path_begun(shim_conn *c, const ngtcp2_path *path) {
  int used = ngtcp2_path_eq(ngtcp2_conn_get_path2(c->conn), path);
  // When it begins once more, the first was with packets of less than 1200 bytes.
  c->unproven = c->server && used && !c->unproven;
  c->credit = 0;
}

void shim_path_ended(shim_conn *c) { c->unproven = 0; }

void shim_path_earn(shim_conn *c, const ngtcp2_path *came, uint32_t len) {
  if (c->unproven && ngtcp2_path_eq(ngtcp2_conn_get_path2(c->conn), came)) {
    c->credit += (uint64_t)AMPLIFICATION * len;
  }
}

void shim_path_spend(shim_conn *c, const ngtcp2_path *to, ngtcp2_ssize n) {
  if (c->unproven && n > 0 && ngtcp2_path_eq(ngtcp2_conn_get_path2(c->conn), to)) {
    c->credit -= (uint64_t)n < c->credit ? (uint64_t)n : c->credit;
  }
}

int shim_path_spent(shim_conn *c) {
  return c->unproven && c->credit == 0 && ngtcp2_conn_get_cwnd_left2(c->conn) == 0;
}

// shim_path_hear notes where a client is that does not know that the handshake is
// complete: until it hears of that from the server it may have nothing to send but its
// Finished, in Handshake packets, for it has no probe timeout for 1-RTT packets (RFC 9002
// section 6.2.1) and a small congestion window. When a NAT has given it another address, the
// server, which discards those packets, would go on sending to the old one. A
// datagram of 1-RTT packets alone ends this: it migrates the connection if it has to. When
// the client has acknowledged HANDSHAKE_DONE, it sends no long header any more: who does is
// somebody else.
void shim_path_hear(shim_conn *c, const shim_path *came, uint8_t first, uint32_t len) {
  shim_path now;
  if (!(first & LONG_HEADER) || c->done == SHIM_DONE_ACKED) {
    c->other_left = 0;
    return;
  }
  if (!(c->state & SHIM_STATE_HANDSHAKE_COMPLETED)) {
    return;
  }
  shim_path_flat(&now, ngtcp2_conn_get_path2(c->conn));
  if (memcmp(&now.remote, &came->remote, sizeof(now.remote)) == 0) {
    c->other_left = 0;
    return;
  }
  if (memcmp(&c->other, &came->remote, sizeof(c->other)) != 0) {
    c->other = came->remote;
    c->other_left = 0;
  }
  c->other_left += (uint64_t)AMPLIFICATION * len;
}

// shim_path_done, after every read, and every write of n bytes: HANDSHAKE_DONE is the first
// that goes out when the handshake is complete, so it is acknowledged when nothing is in
// flight any more.
void shim_path_done(shim_conn *c, ngtcp2_ssize n) {
  ngtcp2_conn_info info;
  if (!c->server || !(c->state & SHIM_STATE_HANDSHAKE_COMPLETED) || c->done == SHIM_DONE_ACKED) {
    return;
  }
  ngtcp2_conn_get_conn_info2(c->conn, &info);
  if (c->done == SHIM_DONE_SENT && info.bytes_in_flight == 0) {
    c->done = SHIM_DONE_ACKED;
  } else if (n > 0 && info.bytes_in_flight > 0) {
    c->done = SHIM_DONE_SENT;
  }
}

// shim_path_follow sends what was written to where the client was heard last, within
// the limit for an address that is not validated.
void shim_path_follow(shim_conn *c, shim_result *res) {
  if (c->other_left >= (uint64_t)res->n) {
    c->other_left -= (uint64_t)res->n;
    res->path.remote = c->other;
  }
}

void shim_conn_update_key(shim_conn *c, uint64_t ts) {
  int rv = NGTCP2_ERR_INVALID_STATE;
  ts = shim_now(c, ts);
  if (ready(c)) {
    shim_ack_due(c);
    rv = ngtcp2_conn_initiate_key_update(c->conn, ts);
  }
  shim_conn_finish(c, rv);
}

static int migrate(shim_conn *c, const shim_path *path, int immediate,
                   uint64_t ts) {
  shim_native_path native;
  if (c->server || !ready(c)) {
    return NGTCP2_ERR_INVALID_STATE;
  }
  shim_ack_due(c);
  shim_path_native(&native, path);
  int rv = immediate ? ngtcp2_conn_initiate_immediate_migration(
                         c->conn, &native.path, ts)
                     : ngtcp2_conn_initiate_migration(c->conn, &native.path, ts);
  if (ngtcp2_err_is_fatal(rv)) {
    c->fatal = rv;
  }
  return rv;
}

void shim_conn_migrate(shim_conn *c, const shim_path *path, int immediate,
                       uint64_t ts) {
  shim_conn_begin(c);
  shim_conn_finish(c, migrate(c, path, immediate, shim_now(c, ts)));
}

int shim_conn_set_local_addr(shim_conn *c, const shim_addr *addr) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_addr a = {.addr = &sa.sa, .addrlen = shim_addr_native(&sa, addr)};
  if (ngtcp2_conn_get_path2(c->conn)->local.addr->sa_family != sa.sa.sa_family) {
    return NGTCP2_ERR_INVALID_ARGUMENT;
  }
  ngtcp2_conn_set_local_addr(c->conn, &a);
  return 0;
}

// scope is how far an address reaches.
enum scope { SCOPE_NONE, SCOPE_LOOPBACK, SCOPE_LINK, SCOPE_PRIVATE, SCOPE_GLOBAL };

static enum scope scope4(uint32_t a) {
  if (a >> 24 == 0 || a >> 28 >= 0xe) { // this network, multicast, reserved
    return SCOPE_NONE;
  }
  if (a >> 24 == 127) {
    return SCOPE_LOOPBACK;
  }
  if (a >> 16 == 0xa9fe) { // 169.254.0.0/16
    return SCOPE_LINK;
  }
  if (a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
      a >> 22 == 0x191) { // RFC 1918, and 100.64.0.0/10 (RFC 6598)
    return SCOPE_PRIVATE;
  }
  return SCOPE_GLOBAL;
}

static enum scope scope6(const struct in6_addr *a) {
  if (IN6_IS_ADDR_LOOPBACK(a)) {
    return SCOPE_LOOPBACK;
  }
  if (IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_MULTICAST(a) ||
      IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a)) {
    return SCOPE_NONE;
  }
  if (IN6_IS_ADDR_LINKLOCAL(a)) {
    return SCOPE_LINK;
  }
  return (a->s6_addr[0] & 0xfe) == 0xfc ? SCOPE_PRIVATE : SCOPE_GLOBAL;
}

static enum scope scope_of(const ngtcp2_sockaddr *sa) {
  ngtcp2_sockaddr_union u;
  if (sa->sa_family == AF_INET6) {
    memcpy(&u.in6, sa, sizeof(u.in6));
    return scope6(&u.in6.sin6_addr);
  }
  memcpy(&u.in, sa, sizeof(u.in));
  return scope4(ntohl(u.in.sin_addr.s_addr));
}

// shim_cb_preferred_addr takes the address of the family that the connection has:
// the socket can send to no other. See PreferredAddrFollow for what is refused.
int shim_cb_preferred_addr(ngtcp2_conn *conn, ngtcp2_path *dest,
                           const ngtcp2_preferred_addr *addr, void *user_data) {
  shim_conn *c = user_data;
  const ngtcp2_sockaddr *now = ngtcp2_conn_get_path2(conn)->remote.addr;
  ngtcp2_addr to = {0};
  if (!c->follow_preferred) {
    return 0;
  }
  if (now->sa_family == AF_INET6) {
    to.addr = (ngtcp2_sockaddr *)(uintptr_t)&addr->ipv6;
    to.addrlen = addr->ipv6_present ? sizeof(addr->ipv6) : 0;
  } else {
    to.addr = (ngtcp2_sockaddr *)(uintptr_t)&addr->ipv4;
    to.addrlen = addr->ipv4_present ? sizeof(addr->ipv4) : 0;
  }
  if (to.addrlen > 0 && scope_of(to.addr) != SCOPE_NONE &&
      scope_of(to.addr) >= scope_of(now)) {
    ngtcp2_addr_copy_byte(&dest->remote, to.addr, to.addrlen);
  }
  return 0;
}
