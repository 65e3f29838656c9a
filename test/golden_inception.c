/* golden_inception.c: the FID Inception, and FID and KID of given features, against the golden
 * files. */
#include <math.h>
#include <string.h>
#include "models/judge/inception.h"
#include "models/judge/metrics.h"
#include "test/golden.h"
_Static_assert(sizeof(real) == sizeof(float), "the golden runner is built with float tensors");

void golden_inception(Gold *g) {
  enum { PER = 3 * INCEPTION_SIDE * INCEPTION_SIDE };
  static const FidInput input = {.convention = FIDCONV_PYTORCH};
  Shape s;
  Error e = {0};
  Inception v;
  const real *img = gold_load(g, "in.img", &s);
  if (!img || s.rank != 4 || s.dim[1] != 3) {
    gold_fail(g, "in.img: expected [N,3,H,W]");
    return;
  }
  if (!gold_ok(g, inception_new(&v, &e), &e, "inception_new")) return;
  inception_formula(&v, "Inception.");
  if (!gold_ok(g, inception_fold(&v, &e), &e, "inception_fold")) {
    inception_free(&v);
    return;
  }
  real *x = gold_scratch(g, s.dim[0] * PER);
  int64_t one = s.dim[1] * s.dim[2] * s.dim[3];
  for (int64_t i = 0; i < s.dim[0]; i++)
    gold_ok(g,
            fid_prepare_255(&input, 3, s.dim[2], s.dim[3], (const float *)img + i * one,
                            x + i * PER, &e),
            &e, "fid_prepare");
  gold_compare_tap(g, "input299", x, s.dim[0], PER);
  GoldRun r;
  gold_run_begin(&r, g);
  InceptionTaps taps;
  Val in = gold_in_data(&r, "input299", SHAPE4(s.dim[0], 3, INCEPTION_SIDE, INCEPTION_SIDE), x),
      y = g_inception(r.graph, &v, in, &taps);
  const struct {
    const char *name;
    Val v;
  } tap[] = {{"pool1", taps.pool1}, {"pool2", taps.pool2}, {"mixed6e", taps.mixed6e}};
  for (int k = 0; k < COUNT_OF(tap); k++) gold_keep(&r, tap[k].v);
  gold_expect(&r, y, "out.features");
  if (gold_run_exec(&r)) {
    gold_run_check(&r);
    for (int k = 0; k < COUNT_OF(tap); k++) {
      Shape t = graph_shape(r.graph, tap[k].v);
      gold_compare_tap(g, tap[k].name, gold_value(&r, tap[k].v), t.dim[0],
                       shape_numel(t) / t.dim[0]);
    }
  }
  gold_run_free(&r);
  inception_free(&v);
}

/* Both forms of FID, through covariances and through inner products, must give the numbers of the
 * file. */
void golden_fid_kid(Gold *g) {
  static const char *const kind[] = {"unbiased", "biased"};
  Shape sa, sb;
  Error e = {0};
  const float *xa = (const float *)gold_load(g, "in.a", &sa),
              *xb = (const float *)gold_load(g, "in.b", &sb);
  if (!xa || !xb || sa.rank != 2 || sb.rank != 2) {
    gold_fail(g, "in.a and in.b: expected [n,d]");
    return;
  }
  Features a = {sa.dim[0], sa.dim[1], xa}, b = {sb.dim[0], sb.dim[1], xb};
  Gram gram;
  if (!gold_ok(g, gram_new(&gram, a, b, &e), &e, "gram_new")) return;
  for (int cov = 0; cov < 2; cov++) {
    Fid f, h;
    if (gold_ok(g, fid_features(a, b, cov, &f, &e), &e, "fid_features")) {
      gold_compare_f64(g, gold_name(g, "out.fid_%s", kind[cov]), &f.fid, 1);
      gold_compare_f64(g, gold_name(g, "out.trace_sqrt_%s", kind[cov]), &f.trace_sqrt, 1);
    }
    if (gold_ok(g, fid_gram(&gram, NULL, NULL, cov, &h, &e), &e, "fid_gram")) {
      gold_compare_f64(g, gold_name(g, "out.fid_%s", kind[cov]), &h.fid, 1);
      gold_compare_f64(g, gold_name(g, "out.trace_sqrt_%s", kind[cov]), &h.trace_sqrt, 1);
    }
  }
  gram_free(&gram);
  /* the file's KID is of the first min(n,m) images of each set */
  int64_t n = PRLX_MIN(PRLX_MIN(a.n, b.n), gold_int(g, "kid_samples", a.n));
  a.n = b.n = n;
  Kid k;
  if (gold_ok(g, kid_features(a, b, (Groups){0}, (Groups){0}, &k, &e), &e, "kid_features"))
    gold_compare_f64(g, "out.kid", &k.kid, 1);
}
