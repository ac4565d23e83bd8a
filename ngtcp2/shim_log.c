// What ngtcp2 writes about a connection (qlog, debug log) waits in the events of
// the worker until Go takes it: a call of a Conn never waits for a file.
#include "shim_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
  LOGS_MIN = 64 * 1024,       // bytes
  LOGS_MAX = 4 * 1024 * 1024, // bytes; a batch of 2,800 packets makes 1.5 MiB
};

// reserve makes room for n bytes.
static int reserve(shim_events *e, size_t n) {
  uint64_t need = (uint64_t)e->logs_len + n;
  if (need > LOGS_MAX) {
    return -1;
  }
  uint64_t cap = e->logs_cap > 0 ? e->logs_cap : LOGS_MIN;
  while (cap < need) {
    cap *= 2;
  }
  if (cap == e->logs_cap) {
    return 0;
  }
  uint8_t *p = shim_resize(e->logs, cap);
  if (p == NULL) {
    return -1;
  }
  e->logs = p;
  e->logs_cap = (uint32_t)cap;
  return 0;
}

// add appends a record whole, or counts it as lost.
static void add(shim_conn *c, uint32_t kind, const void *data, size_t len) {
  shim_events *e = c->ev;
  shim_log head = {.id = c->log_id, .kind = kind, .len = (uint32_t)len};
  if (reserve(e, sizeof(head) + len) != 0) {
    ++e->logs_lost;
    return;
  }
  memcpy(e->logs + e->logs_len, &head, sizeof(head));
  memcpy(e->logs + e->logs_len + sizeof(head), data, len);
  e->logs_len += (uint32_t)(sizeof(head) + len);
}

// ngtcp2 gives a whole record per call; the last call has none.
static void cb_qlog(void *user_data, uint32_t flags, const void *data, size_t len) {
  (void)flags;
  if (len > 0) {
    add(user_data, SHIM_LOG_QLOG, data, len);
  }
}

#if NGTCP2_VERSION_NUM >= 0x011700
static void cb_log(void *user_data, char *msg, size_t len) {
  add(user_data, SHIM_LOG_DEBUG, msg, len);
}
#else
static void cb_log(void *user_data, const char *format, ...) {
  char line[1024];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  if (n > 0) {
    add(user_data, SHIM_LOG_DEBUG, line,
        (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
  }
}
#endif

void shim_log_settings(ngtcp2_settings *out, const shim_settings *s) {
  out->qlog_write = s->qlog ? cb_qlog : NULL;
  if (!s->log) {
    return;
  }
#if NGTCP2_VERSION_NUM >= 0x011700
  out->log_write = cb_log;
#else
  out->log_printf = cb_log;
#endif
}
