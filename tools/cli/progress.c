/* progress.c: see progress.h */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "tools/cli/tool.h"

double time_now(void) { return os_clock(); }

static char *turn_buffer(void) {
  static char buf[4][32];
  static int k;
  return buf[k++ & 3];
}

const char *human_bytes(double b) {
  static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int u = 0;
  while (b >= 1024 && u < 4) b /= 1024, u++;
  char *s = turn_buffer();
  snprintf(s, 32, u == 0 || b >= 100 ? "%.0f %s" : "%.1f %s", b, unit[u]);
  return s;
}

const char *human_time(double sec) {
  char *s = turn_buffer();
  if (!(sec >= 0 && sec < 1e9)) {
    snprintf(s, 32, "?");
    return s;
  }
  if (sec < 9.95) {
    snprintf(s, 32, "%.1f s", sec);
    return s;
  }
  long t = (long)(sec + 0.5);
  if (t < 60)
    snprintf(s, 32, "%ld s", t);
  else if (t < 3600)
    snprintf(s, 32, "%ld min %02ld s", t / 60, t % 60);
  else if (t < 86400)
    snprintf(s, 32, "%ld h %02ld min", t / 3600, t / 60 % 60);
  else
    snprintf(s, 32, "%ld d %02ld h", t / 86400, t / 3600 % 24);
  return s;
}

void progress_start(Progress *p, const char *label, const char *unit, double total) {
  *p = (Progress){.label = label,
                  .unit = unit,
                  .total = total > 0 ? total : 1,
                  .t0 = time_now(),
                  .tty = os_is_terminal(2)};
  p->last = p->t0 - (p->tty ? 1 : 0);
}

void progress_skip(Progress *p, double already_done) {
  p->first = p->done = already_done;
  p->t0 = time_now();
}

static void progress_draw(Progress *p, const char *note) {
  double dt = time_now() - p->t0, rate = dt > 0 ? (p->done - p->first) / dt : 0,
         share = p->done / p->total;
  share = share < 0 ? 0 : share > 1 ? 1 : share;
  char speed[48] = "";
  if (rate >= 1)
    snprintf(speed, sizeof speed, "%.3g %s/s", rate, p->unit);
  else if (rate > 0)
    snprintf(speed, sizeof speed, "%.3g s/%s", 1 / rate, p->unit);
  const char *left = rate > 0 ? human_time(PRLX_MAX(p->total - p->done, 0) / rate) : "?";
  if (p->tty) {
    char bar[25];
    int fill = (int)(share * 24 + 1e-9);
    for (int i = 0; i < 24; i++) bar[i] = i < fill ? '#' : '.';
    bar[24] = 0;
    fprintf(stderr, "\r%s [%s] %3.0f%% %.6g/%.6g, %s, %s left%s%s\033[K", p->label, bar,
            100 * share, p->done, p->total, speed, left, *note ? ", " : "", note);
  } else {
    fprintf(stderr, "%s: %.6g of %.6g %s, %s, %s left%s%s\n", p->label, p->done, p->total, p->unit,
            speed, left, *note ? ", " : "", note);
  }
  fflush(stderr);
  p->drawn = true;
}

void progress_update(Progress *p, double done, const char *fmt, ...) {
  p->done = done;
  double now = time_now();
  if (tool_quiet || now - p->last < (p->tty ? 0.1 : 5.0)) return;
  p->last = now;
  char note[160] = "";
  if (fmt) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(note, sizeof note, fmt, ap);
    va_end(ap);
  }
  progress_draw(p, note);
}

void progress_clear(Progress *p) {
  if (p->tty && p->drawn && !tool_quiet) fprintf(stderr, "\r\033[K");
  p->last = time_now() - (p->tty ? 1 : 0);
}

void progress_end(Progress *p) {
  if (tool_quiet) return;
  double dt = time_now() - p->t0;
  if (p->tty) fprintf(stderr, "\r");
  fprintf(stderr, "%s: %.6g %s in %s%s\n", p->label, p->done, p->unit, human_time(dt),
          p->tty ? "\033[K" : "");
}
