// What a program starts on a running connection: key updates and migration.
#include "shim_int.h"

// ready reports whether the connection is in its data phase: ngtcp2 aborts on
// these calls at any other time.
static int ready(shim_conn *c) {
  return c->fatal == 0 && (c->state & SHIM_STATE_HANDSHAKE_CONFIRMED) &&
         !ngtcp2_conn_in_closing_period2(c->conn) &&
         !ngtcp2_conn_in_draining_period2(c->conn);
}

void shim_conn_update_key(shim_conn *c, uint64_t ts) {
  int rv = NGTCP2_ERR_INVALID_STATE;
  if (ready(c)) {
    rv = ngtcp2_conn_initiate_key_update(c->conn, shim_now(c, ts));
  }
  shim_conn_finish(c, rv);
}

static int migrate(shim_conn *c, const shim_path *path, int immediate,
                   uint64_t ts) {
  shim_native_path native;
  if (c->server || !ready(c)) {
    return NGTCP2_ERR_INVALID_STATE;
  }
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

// shim_cb_preferred_addr takes the address of the family that the connection has:
// the socket can send to no other.
int shim_cb_preferred_addr(ngtcp2_conn *conn, ngtcp2_path *dest,
                           const ngtcp2_preferred_addr *addr, void *user_data) {
  shim_conn *c = user_data;
  ngtcp2_addr to = {0};
  if (!c->follow_preferred) {
    return 0;
  }
  if (ngtcp2_conn_get_path2(conn)->remote.addr->sa_family == AF_INET6) {
    to.addr = (ngtcp2_sockaddr *)(uintptr_t)&addr->ipv6;
    to.addrlen = addr->ipv6_present ? sizeof(addr->ipv6) : 0;
  } else {
    to.addr = (ngtcp2_sockaddr *)(uintptr_t)&addr->ipv4;
    to.addrlen = addr->ipv4_present ? sizeof(addr->ipv4) : 0;
  }
  if (to.addrlen > 0) {
    ngtcp2_addr_copy_byte(&dest->remote, to.addr, to.addrlen);
  }
  return 0;
}
