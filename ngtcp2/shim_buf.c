// Reference-counted blocks for stream data; Go counts with the same atomics.
#include "shim_int.h"

shim_buf *shim_buf_new(uint32_t capacity) {
  shim_buf *b = shim_alloc(sizeof(*b) + capacity);
  if (b != NULL) {
    b->refs = 1;
    b->cap = capacity;
  }
  return b;
}

void shim_buf_free(shim_buf *b) { shim_release(b); }

void shim_buf_unref(shim_buf *b) {
  if (b != NULL && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0) {
    shim_buf_free(b);
  }
}
