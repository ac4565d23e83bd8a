#include "shim.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

static size_t append(shim_error *err, size_t at, const char *sep, const char *text) {
  int n;

  if (at >= sizeof(err->text)) {
    return at;
  }
  n = snprintf(err->text + at, sizeof(err->text) - at, "%s%s", sep, text);
  return n < 0 ? at : at + (size_t)n;
}

static const char *reason_text(unsigned long code, char *buf, size_t len) {
  const char *reason = ERR_reason_error_string(code);

  if (reason != NULL) {
    return reason;
  }
  ERR_error_string_n(code, buf, len);
  return buf;
}

void shim_error_take(shim_error *err, const char *what) {
  const char *data;
  unsigned long code;
  char buf[128];
  int flags;
  size_t at;

  err->text[0] = '\0';
  at = append(err, 0, "", what);
  while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
    at = append(err, at, ": ", reason_text(code, buf, sizeof(buf)));
    if ((flags & ERR_TXT_STRING) != 0 && data != NULL && *data != '\0') {
      at = append(err, at, " ", data);
    }
  }
}
