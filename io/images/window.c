/* window.c: see window.h */
#include "io/images/window.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/number.h"

static bool window_limits(const char *t, Window *w) {
  char *end;
  w->lo = number_read(t, &end);
  if (end == t || *end != ',') return false;
  t = end + 1;
  w->hi = number_read(t, &end);
  return end != t && !*end && isfinite(w->lo) && isfinite(w->hi) && w->hi > w->lo;
}

bool window_parse(const char *text, Window *w) {
  static const char *const name[] = {"", "slice", "median", "display"};
  for (int m = WINDOW_SLICE; m <= WINDOW_DISPLAY; m++) {
    const size_t n = strlen(name[m]);
    if (strncmp(text, name[m], n) != 0 || (text[n] && text[n] != ' ')) continue;
    *w = (Window){.mode = (WindowMode)m};
    return !text[n] || (m != WINDOW_DISPLAY && window_limits(text + n + 1, w));
  }
  *w = (Window){.mode = WINDOW_FIXED};
  return window_limits(text, w);
}

void window_text(const Window *w, char out[80]) {
  static const char *const prefix[] = {"", "slice ", "median ", "display"};
  char lo[NUMBER_TEXT], hi[NUMBER_TEXT];
  if (w->mode == WINDOW_DISPLAY)
    snprintf(out, 80, "display");
  else
    snprintf(out, 80, "%s%s,%s", prefix[w->mode], number_write(lo, "%.10g", w->lo),
             number_write(hi, "%.10g", w->hi));
}

static const char *const names[CH_COUNT] = {"chi", "rim", "flair"}, *const units[CH_COUNT] = {
                                                                        "ppb", "probability",
                                                                        "arbitrary"};
const char *channel_name(Channel c) { return (unsigned)c < CH_COUNT ? names[c] : "unknown"; }
const char *channel_unit(Channel c) { return (unsigned)c < CH_COUNT ? units[c] : "unknown"; }

int channels_parse(const char *text, Channel out[CH_COUNT]) {
  unsigned seen = 0;
  int n = 0;
  for (const char *p = text;; p++) {
    const size_t len = strcspn(p, ",");
    int c = 0;
    while (c < CH_COUNT && !(strlen(names[c]) == len && !strncmp(p, names[c], len))) c++;
    if (c == CH_COUNT || seen >> c & 1) return 0;
    seen |= 1u << c;
    out[n++] = (Channel)c;
    p += len;
    if (!*p) return n;
  }
}

void channels_text(const Channel *ch, int n, char out[32]) {
  size_t at = 0;
  out[0] = 0;
  for (int i = 0; i < n; i++)
    at += (size_t)snprintf(out + at, 32 - at, "%s%s", i ? "," : "", channel_name(ch[i]));
}
