/* plan_roofline.c: the profile of a plan beside what the machine can do at most (Williams, Waterman
 * and Patterson, "Roofline", CACM 2009). */
#include <stdlib.h>
#include <string.h>
#include "core/plan_impl.h"

/* All steps of one description. */
typedef struct Roof {
  char what[200];
  int count;
  double ns; /* of one run of the plan */
  double flop;
  double bytes;
} Roof;

/* Every operand read once, the result written once. */
static double roof_bytes(const Plan *p, const Step *s) {
  double n = 0;
  for (int r = 0; r < plan_results(s); r++)
    n += (double)shape_numel(p->value[plan_result(s, r)].node.shape);
  for (int i = 0; i < s->nargs; i++)
    if (s->arg[i]) n += (double)shape_numel(p->value[s->arg[i]].node.shape);
  return n * sizeof(real);
}

static int roof_slower(const void *a, const void *b) {
  const Roof *x = a, *y = b;
  if (x->ns != y->ns) return x->ns < y->ns ? 1 : -1;
  return strcmp(x->what, y->what);
}

static int roof_collect(const Plan *p, Roof *rows) {
  int n = 0;
  for (int k = p->nfold; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    char text[400];
    int i = 0;
    if (!s->runs) continue;
    plan_describe(p, s, text, sizeof text);
    text[sizeof rows->what - 1] = 0;
    while (i < n && strcmp(rows[i].what, text) != 0) i++;
    if (i == n) {
      rows[n++] = (Roof){.count = 0};
      memcpy(rows[i].what, text, strlen(text) + 1);
    }
    rows[i].count++;
    rows[i].ns += (double)s->ns / (double)s->runs;
    rows[i].flop += s->flop;
    rows[i].bytes += roof_bytes(p, s);
  }
  qsort(rows, (size_t)n, sizeof *rows, roof_slower);
  return n;
}

static void roof_line(const Roof *r, double total, double gflops, double gbytes, FILE *f) {
  const double rate = r->flop / r->ns, stream = r->bytes / r->ns;
  fprintf(f, "%9.3f %5.1f%% %4d", r->ns / 1e6, 100 * r->ns / total, r->count);
  if (r->flop > 0)
    fprintf(f, " %8.1f %5.0f%%", rate, 100 * rate / gflops);
  else
    fprintf(f, " %8s %6s", "", "");
  fprintf(f, " %7.2f %5.0f%%  %s\n", stream, 100 * stream / gbytes, r->what);
}

void plan_roofline(const Plan *p, double gflops, double gbytes, FILE *f) {
  Roof *rows = mem_alloc((size_t)(p->nstep + 1) * sizeof *rows), all = {.what = "all steps"};
  if (!rows) return;
  const int n = roof_collect(p, rows);
  for (int i = 0; i < n; i++) {
    all.count += rows[i].count;
    all.ns += rows[i].ns;
    all.flop += rows[i].flop;
    all.bytes += rows[i].bytes;
  }
  fprintf(f, "%9s %6s %4s %8s %6s %7s %6s  %s\n", "ms", "time", "x", "GFLOP/s", "peak", "GB/s",
          "copy", "steps of one description, slowest first");
  for (int i = 0; i < n; i++) roof_line(&rows[i], all.ns, gflops, gbytes, f);
  if (n) roof_line(&all, all.ns, gflops, gbytes, f);
  mem_free(rows);
}
