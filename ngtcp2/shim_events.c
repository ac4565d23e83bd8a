// The event array of a worker: callbacks append, Go reads after the call.
#include "shim_int.h"

#include <string.h>

enum {
  EVENTS_MIN = 64,            // events; about what one busy call makes
  ARENA_MIN = 64 * 1024,      // bytes; one full receive run of 1200-byte packets
  EVENTS_LARGE = 4096,        // above these sizes memory is given back after
  ARENA_LARGE = 1024 * 1024,  // a while of small calls
  QUIET_CALLS = 256,          // what "a while" is
};

static int resize(shim_events *e, uint32_t events, uint32_t arena) {
  shim_event *ev = shim_resize(e->ev, events * sizeof(*ev));
  if (ev == NULL) {
    return -1;
  }
  e->ev = ev;
  e->cap = events;
  uint8_t *p = shim_resize(e->arena, arena);
  if (p == NULL) {
    return -1;
  }
  e->arena = p;
  e->arena_cap = arena;
  return 0;
}

shim_events *shim_events_new(void) {
  shim_events *e = shim_zalloc(sizeof(*e));
  if (e != NULL && resize(e, EVENTS_MIN, ARENA_MIN) != 0) {
    shim_events_del(e);
    return NULL;
  }
  return e;
}

void shim_events_del(shim_events *e) {
  if (e == NULL) {
    return;
  }
  shim_release(e->ev);
  shim_release(e->arena);
  shim_release(e->logs);
  shim_release(e);
}

// shrink gives memory back when a huge call was followed by small ones.
static void shrink(shim_events *e) {
  if (e->cap <= EVENTS_LARGE && e->arena_cap <= ARENA_LARGE) {
    return;
  }
  if (e->len > EVENTS_LARGE / 2 || e->arena_len > ARENA_LARGE / 2) {
    e->quiet = 0;
    return;
  }
  if (++e->quiet >= QUIET_CALLS) {
    e->quiet = 0;
    resize(e, EVENTS_MIN, ARENA_MIN); // a failure leaves the old block
  }
}

void shim_events_reset(shim_events *e) {
  shrink(e);
  e->len = 0;
  e->arena_len = 0;
  ++e->gen;
}

shim_event *shim_events_add(shim_events *e, uint32_t type, int64_t stream_id) {
  if (e->len == e->cap) {
    if (e->cap > UINT32_MAX / 2 || resize(e, 2 * e->cap, e->arena_cap) != 0) {
      return NULL;
    }
  }
  shim_event *ev = &e->ev[e->len++];
  memset(ev, 0, sizeof(*ev));
  ev->type = type;
  ev->stream_id = stream_id;
  ev->data_off = e->arena_len;
  return ev;
}

int shim_events_data(shim_events *e, const void *p, size_t n) {
  if (n == 0) {
    return 0;
  }
  uint64_t need = (uint64_t)e->arena_len + n;
  uint64_t cap = e->arena_cap;
  while (cap < need) {
    cap *= 2;
  }
  if (cap > UINT32_MAX) {
    return -1;
  }
  if (cap != e->arena_cap && resize(e, e->cap, (uint32_t)cap) != 0) {
    return -1;
  }
  memcpy(e->arena + e->arena_len, p, n);
  e->arena_len += (uint32_t)n;
  e->ev[e->len - 1].data_len += (uint32_t)n;
  return 0;
}
