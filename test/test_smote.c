/* test_smote.c: the oversampling baselines: affine copies, SMOTE, DeepSMOTE. */
#include "core/threads.h"
#include "models/judge/affine.h"
#include "models/judge/deepsmote.h"
#include "models/judge/smote.h"
#include "test/test.h"

static void test_affine(void) {
  enum { H = 5, W = 7, C = 2, N = C * H * W };
  real in[N], out[N];
  for (int i = 0; i < N; i++) in[i] = (real)(i * 0.37 - 3);
  affine_apply(&(AffineMap){.a = 1, .d = 1}, in, C, H, W, out);
  CHECK(memcmp(in, out, sizeof in) == 0, "the identity copies exactly");
  affine_apply(&(AffineMap){.a = -1, .d = 1}, in, C, H, W, out);
  bool ok = true;
  for (int i = 0; i < N; i++) ok &= fabs((double)(out[i] - in[i / W * W + W - 1 - i % W])) < 1e-6;
  CHECK(ok, "a flip");
  affine_apply(&(AffineMap){.a = 1, .d = 1, .tx = 2, .ty = 0.5}, in, C, H, W, out);
  CHECK(fabs((double)out[W + 1] - ((double)in[W + 3] + (double)in[2 * W + 3]) / 2) < 1e-6,
        "a shift of 2 and a half");
  CHECK(out[W - 1] == (real)(((double)in[W - 1] + (double)in[2 * W - 1]) / 2),
        "the edge goes on outside");
  real sq[25], rot[25];
  for (int i = 0; i < 25; i++) sq[i] = (real)i;
  affine_apply(&(AffineMap){.b = -1, .c = 1}, sq, 1, 5, 5, rot);
  ok = true;
  for (int y = 0; y < 5; y++)
    for (int x = 0; x < 5; x++) ok &= rot[y * 5 + x] == sq[x * 5 + (4 - y)];
  CHECK(ok, "a quarter turn");
  AffineRange r = affine_defaults();
  Rng a = {.seed = 1};
  bool in_range = true;
  for (int i = 0; i < 1000; i++) {
    AffineMap m = affine_draw(&r, &a);
    double area = 1 / fabs(m.a * m.d - m.b * m.c); /* scale^2: shear keeps areas */
    in_range &= area > 0.8099 && area < 1.2101 && fabs(m.tx) <= 4 && fabs(m.ty) <= 4;
  }
  CHECK(in_range, "drawn maps stay in their range");
  CHECK(a.offset == 7000, "a draw takes seven words: %llu", (unsigned long long)a.offset);
  Error e = {0};
  r.scale_lo = 0;
  CHECK(affine_check(&r, &e) == ST_INVALID && strstr(e.msg, "scale"), "%s", e.msg);
}

static void test_smote(void) {
  enum { N = 12, DIM = 3, WANT = 60, K = 3 };
  real x[N * DIM], out[WANT * DIM];
  int64_t group[N];
  SmotePick pick[WANT], again[WANT];
  Error e = {0};
  Rng r = {.seed = 3};
  for (int i = 0; i < N * DIM; i++) x[i] = (real)rng_normal(&r);
  for (int i = 0; i < N; i++) group[i] = i / 3;
  Rng draw = {.seed = 9}, draw2 = draw;
  threads_set(1);
  CHECK(smote_pick(x, N, DIM, group, K, WANT, &draw, pick, &e) == ST_OK, "picks: %s", e.msg);
  threads_set(3);
  smote_pick(x, N, DIM, group, K, WANT, &draw2, again, &e);
  bool same = true, between = true, other = true, near = true;
  int used[N] = {0};
  smote_blend(x, DIM, pick, WANT, out);
  for (int i = 0; i < WANT; i++) {
    const SmotePick p = pick[i];
    same &= p.base == again[i].base && p.neighbour == again[i].neighbour && p.gap == again[i].gap;
    other &= group[p.base] != group[p.neighbour];
    used[p.base]++;
    for (int k = 0; k < DIM; k++) {
      double a = (double)x[p.base * DIM + k], b = (double)x[p.neighbour * DIM + k],
             v = (double)out[i * DIM + k];
      between &= v >= fmin(a, b) - 1e-6 && v <= fmax(a, b) + 1e-6 &&
                 fabs(v - (a + p.gap * (b - a))) < 1e-6;
    }
    double d0 = 0;
    int closer = 0;
    for (int k = 0; k < DIM; k++)
      d0 += pow((double)(x[p.base * DIM + k] - x[p.neighbour * DIM + k]), 2);
    for (int j = 0; j < N; j++) {
      double d = 0;
      for (int k = 0; k < DIM; k++) d += pow((double)(x[p.base * DIM + k] - x[j * DIM + k]), 2);
      closer += group[j] != group[p.base] && d < d0 - 1e-9;
    }
    near &= closer < K;
  }
  CHECK(same, "the same picks with 1 and 3 threads");
  CHECK(other, "neighbours are of another lesion");
  CHECK(between, "new samples lie on the line between two");
  CHECK(near, "neighbours are among the k nearest");
  for (int i = 0; i < N; i++)
    if (used[i] != WANT / N) {
      CHECK(0, "sample %d is a base %d times", i, used[i]);
      break;
    }
  for (int i = 0; i < N; i++) group[i] = 0;
  CHECK(smote_pick(x, N, DIM, group, K, 5, &draw, pick, &e) == ST_INVALID &&
            strstr(e.msg, "another lesion"),
        "one lesion: %s", e.msg);
  CHECK(smote_pick(x, 1, DIM, NULL, K, 5, &draw, pick, &e) == ST_INVALID, "one sample: %s", e.msg);
  CHECK(smote_pick(x, 2, DIM, NULL, 100, 5, &draw, pick, &e) == ST_OK &&
            pick[0].base != pick[0].neighbour,
        "fewer samples than neighbours");
}

/* ---- DeepSMOTE ---- */

enum { SIDE = 16, PER = SIDE * SIDE };
typedef struct Last {
  double rec[2];
  double pen;
  int epochs;
  int stop;
} Last;
static bool note(void *ctx, int epoch, double rec, double pen) {
  Last *l = ctx;
  l->rec[epoch > 1] = rec;
  l->pen = pen;
  l->epochs = epoch;
  return epoch != l->stop;
}

static void test_deepsmote(void) {
  enum { N = 40, LATENT = 6, EPOCHS = 40 };
  real *img = mem_alloc(N * PER * sizeof *img), *z = mem_alloc(N * LATENT * sizeof *z),
       *out = mem_alloc(N * PER * sizeof *out);
  int64_t label[N];
  Rng r = {.seed = 8};
  /* a blob whose place and sign vary */
  for (int i = 0; i < N; i++) {
    double cx = 4 + 8 * rng_uniform(&r), cy = 4 + 8 * rng_uniform(&r);
    label[i] = i % 4 == 0;
    for (int k = 0; k < PER; k++) {
      double v = exp(-(pow(k % SIDE - cx, 2) + pow(k / SIDE - cy, 2)) / 12);
      img[i * PER + k] = (real)(label[i] ? v : -v);
    }
  }
  Slices d = {img, label, N, 1, SIDE, SIDE};
  DeepSmoteConfig cfg = {1, SIDE, 6, LATENT};
  DeepSmoteTrain o = deepsmote_train_defaults();
  Last l = {0};
  Error e = {0};
  DeepSmote m[3];
  o.epochs = EPOCHS;
  o.batch = 8;
  o.lr = 5e-3;
  o.seed = 2;
  o.tick = note;
  o.ctx = &l;
  for (int k = 0; k < 3; k++) {
    threads_set(k == 1 ? 3 : 1);
    o.kind = k == 2 ? DEEPSMOTE_CODE : DEEPSMOTE_PAPER;
    /* small: the paper's pulls every image towards the mean of its class */
    o.penalty = k == 2 ? 1 : 0.05;
    Status s = deepsmote_new(&m[k], &cfg, &e);
    if (s == ST_OK) s = deepsmote_train(&m[k], &o, &d, &e);
    CHECK(s == ST_OK && l.epochs == EPOCHS, "training: %s", e.msg);
    CHECK(l.rec[1] < 0.3 * l.rec[0], "variant %d: reconstruction error falls: %g to %g", k,
          l.rec[0], l.rec[1]);
    /* Another sample's image cannot be met: the paper's penalty stays near the variance of the
     * class, the program's is an error of reconstruction. */
    CHECK(k == 2 ? l.pen < 2 * l.rec[1] + 0.01 : l.pen > 2 * l.rec[1],
          "variant %d: penalty %g, reconstruction %g", k, l.pen, l.rec[1]);
  }
  const size_t bytes = (size_t)m[0].params.ntotal * sizeof(real);
  CHECK(memcmp(m[0].params.data, m[1].params.data, bytes) == 0,
        "the same bits with 1 and 3 threads");
  CHECK(memcmp(m[0].params.data, m[2].params.data, bytes) != 0, "the two penalties differ");
  CHECK(deepsmote_encode(&m[2], img, N, z, &e) == ST_OK &&
            deepsmote_decode(&m[2], z, N, out, &e) == ST_OK,
        "coding: %s", e.msg);
  double err = 0, power = 0;
  for (int i = 0; i < N * PER; i++) {
    err += pow((double)(out[i] - img[i]), 2);
    power += pow((double)img[i], 2);
  }
  CHECK(err < 0.5 * power, "decoded codes resemble their images: %g of %g", err, power);
  l.stop = 2;
  CHECK(deepsmote_train(&m[0], &o, &d, &e) == ST_INTERRUPTED && l.epochs == 2, "stopping: %s",
        e.msg);
  Slices s = d;
  s.h = 8;
  CHECK(deepsmote_train(&m[0], &o, &s, &e) == ST_INVALID, "wrong size: %s", e.msg);
  label[1] = -1;
  CHECK(deepsmote_train(&m[0], &o, &d, &e) == ST_INVALID && strstr(e.msg, "class"), "no class: %s",
        e.msg);
  cfg.side = 20;
  DeepSmote none;
  CHECK(deepsmote_new(&none, &cfg, &e) == ST_INVALID, "side 20: %s", e.msg);
  for (int k = 0; k < 3; k++) deepsmote_free(&m[k]);
  mem_free(img);
  mem_free(z);
  mem_free(out);
}

int main(void) {
  size_t live = mem_live_count();
  test_affine();
  test_smote();
  test_deepsmote();
  threads_stop();
  CHECK(mem_live_count() == live, "leaks: %zu blocks", mem_live_count() - live);
  return test_end();
}
