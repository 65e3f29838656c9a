/* plan_range.c: how what the steps leave fits into 16 bits: zeros, subnormal numbers, infinities of
 * every map that is stored so, or would be. A run that counts is slow: on a backend each step is a
 * program of its own, and its map comes to the host to be counted. */
#include <math.h>
#include <string.h>
#include "core/plan_impl.h"

/* Of one step, over all runs that counted. */
struct StepRange {
  int64_t values;
  int64_t zero;
  int64_t subnormal;
  int64_t infinite; /* or NaN */
  float largest;    /* of the finite ones */
};

/* What f16 makes of a float: largest 65504, smallest normal 2^-14, smallest 2^-24; halfway cases go
 * to even. */
static void count_float(StepRange *r, float x) {
  const float size = fabsf(x);
  r->values++;
  r->zero += size <= 0x1p-25f;
  r->subnormal += size > 0x1p-25f && size < 0x1p-14f;
  if (!(size < 65520.f))
    r->infinite++;
  else
    r->largest = fmaxf(r->largest, size);
}

/* A number as it was stored in f16 (10 bits of mantissa) or bf16 (7). */
static void count_stored(StepRange *r, uint16_t bits, int mantissa) {
  const int fraction = bits & ((1 << mantissa) - 1), top = mantissa == 10 ? 31 : 255,
            exponent = (bits & 0x7fff) >> mantissa;
  r->values++;
  r->zero += exponent == 0 && fraction == 0;
  r->subnormal += exponent == 0 && fraction != 0;
  if (exponent == top)
    r->infinite++;
  else
    r->largest = fmaxf(r->largest, exponent ? ldexpf((float)(fraction + (1 << mantissa)),
                                                     exponent - top / 2 - mantissa)
                                            : ldexpf((float)fraction, 1 - top / 2 - mantissa));
}

static void count_map(StepRange *r, const void *map, DType t, int64_t n) {
  const uint16_t *half = map;
  const float *full = map;
  for (int64_t i = 0; i < n; i++) {
    if (t == DT_F32)
      count_float(r, full[i]);
    else
      count_stored(r, half[i], t == DT_F16 ? 10 : 7);
  }
}

/* Row after row: the zeros around a map whose channels lie last are no numbers of it. */
static void count_rows(StepRange *r, const uint16_t *map, DType t, Shape s, MapLayout l) {
  for (int64_t n = 0; n < s.dim[0]; n++)
    for (int64_t y = 0; y < s.dim[2]; y++)
      count_map(r, map + map_row(s, l, n, y), t, s.dim[3] * s.dim[1]);
}

Status plan_ranges(Plan *p, bool on, Error *e) {
  mem_free(p->range);
  p->range = on ? mem_alloc((size_t)(p->nstep + 1) * sizeof *p->range) : NULL;
  return !on || p->range ? ST_OK
                         : err_set(e, ST_NOMEM, "out of memory for ranges of %d steps", p->nstep);
}

/* Result r of step k on a backend, where it is a map. */
static Status range_result(Plan *p, int k, int r, Error *e) {
  const DevStep *d = &p->dev[k];
  const Val v = plan_result(&p->step[k], r);
  const DType t = r ? d->tmore[r - 1] : d->tout;
  const MapLayout lies = r ? d->more_lies[r - 1] : d->out_lies;
  const Shape shape = p->value[v].node.shape;
  const size_t bytes = (size_t)map_numel(shape, lies) * dtype_size(t);
  if (!plan_is_map(p, v) || p->value[v].unstored) return ST_OK;
  void *map = mem_alloc(bytes);
  Status st = map ? p->backend->download(p->backend, map, r ? d->more[r - 1] : d->out, bytes, e)
                  : err_set(e, ST_NOMEM, "out of memory to count a map of %zu bytes", bytes);
  if (st == ST_OK && lies.last)
    count_rows(&p->range[k], map, t, shape, lies);
  else if (st == ST_OK)
    count_map(&p->range[k], map, t, shape_numel(shape));
  mem_free(map);
  return st;
}

void plan_range_host(Plan *p, int k) {
  const Step *s = &p->step[k];
  const int64_t n = shape_numel(p->value[s->value].node.shape);
  if (!plan_is_map(p, s->value)) return;
  for (int64_t i = 0; i < n; i++) count_float(&p->range[k], (float)s->out[i]);
}

static Status range_step(Plan *p, int k, Error *e) {
  Backend *b = p->backend;
  const DevStep *d = &p->dev[k];
  DevProgram *one = NULL;
  TRY(b->program(b, 1, d, &one, e));
  Status st = b->run(b, one, e);
  for (int r = 0; st == ST_OK && r < plan_results(&p->step[k]); r++) st = range_result(p, k, r, e);
  b->program_free(b, one);
  return st;
}

Status plan_range_run(Plan *p, Error *e) {
  for (int k = p->nfold; k < p->nstep; k++) TRY(range_step(p, k, e));
  return ST_OK;
}

/* The parameter nearest to v, at most `steps` operations away: the layer that v belongs to. */
static const char *near_parameter(const Plan *p, Val v, int steps) {
  const Node *n = &p->value[v].node;
  if (v && n->op == OP_param && n->name) return n->name;
  const char *found = NULL;
  for (int i = n->nin; i > 0 && steps > 0 && !found; i--) /* weights come after maps */
    if (n->in[i - 1]) found = near_parameter(p, n->in[i - 1], steps - 1);
  return found;
}

static const char *range_layer(const Plan *p, const Step *s) {
  for (int steps = 0; steps < 6; steps++) {
    const char *found = near_parameter(p, s->conv ? s->conv : s->value, steps);
    if (found) return found;
  }
  return "-";
}

/* How the maps of step k are stored. */
static DType range_type(const Plan *p, int k) {
  if (!p->backend) return DT_F32;
  for (int r = 1; r < plan_results(&p->step[k]); r++)
    if (!plan_is_map(p, p->step[k].value) && plan_is_map(p, plan_result(&p->step[k], r)))
      return p->dev[k].tmore[r - 1];
  return p->dev[k].tout;
}

void plan_ranges_report(const Plan *p, const char *name, FILE *f) {
  char text[400];
  for (int k = 0; p->range && k < p->nstep; k++) {
    const StepRange *r = &p->range[k];
    if (!r->values) continue;
    const double share = 100 / (double)r->values;
    plan_describe(p, &p->step[k], text, sizeof text);
    fprintf(f, "%s\t%d\t%s\t%s\t%s\t%.4g\t%.4g\t%.4g\t%.5g\n", name, k, range_layer(p, &p->step[k]),
            text, dtype_name(range_type(p, k)), share * (double)r->zero,
            share * (double)r->subnormal, share * (double)r->infinite, (double)r->largest);
  }
}
