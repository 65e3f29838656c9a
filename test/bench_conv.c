/* bench_conv.c: time of the convolutions of the networks. Prints shape, algorithm, ms, effective
 * GFLOP/s (2 x multiply-adds of the direct convolution) and its share of the measured FMA peak. Not
 * part of `make`; build by hand:
 *   gcc -std=gnu11 -O3 -I. -DPRLX_HAVE_X86_ISAS -o bench_conv test/bench_conv.c build/libprlx.a -lm
 *   -lpthread
 * usage: bench_conv [g|d|v|s|u|m] [n=batch] [algo=direct|winograd|winograd2] [prep=0] */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/conv.h"
#include "core/kernels/peak.h"
#include "core/ops.h"
#include "core/threads.h"
#if defined(__linux__)
#include <sys/mman.h>
#endif

/* BENCH_CPU=1: CPU time per thread instead of wall time, for a machine that is busy otherwise (best
 * with PRLX_THREADS=1). */
static double now(void) {
  static int cpu = -1;
  struct timespec t;
  if (cpu < 0) cpu = getenv("BENCH_CPU") != NULL;
  clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / (cpu ? threads_count() : 1);
}

static double peak_gflops;
static volatile real sink;
static const int64_t peak_iters = 4000000;
static void peak_task(void *ctx, int64_t i, int worker) {
  sink = ISA_PICK(peak_kernels)->fma(peak_iters, (real[]){(real)0.5, (real)0.25});
}

static void measure_peak(void) {
  for (int r = 0; r < 3; r++) {
    double t = now();
    par_for(threads_count(), peak_task, NULL);
    double g = 1e-9 * (double)peak_iters * ISA_PICK(peak_kernels)->flop_per_iter * threads_count() /
               (now() - t);
    if (g > peak_gflops) peak_gflops = g;
  }
  printf("%s, %d threads, measured FMA peak %.0f GFLOP/s\n", isa_name(isa_current()),
         threads_count(), peak_gflops);
}

static real *tensor(int64_t n) {
  char *p = mem_alloc((size_t)n * sizeof(real) + 64);
#if defined(__linux__)
  if (getenv("BENCH_THP")) {
    mem_free(p);
    p = aligned_alloc(2 << 20,
                      (((size_t)n * sizeof(real) + 64) + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1));
    madvise(p, (size_t)n * sizeof(real), MADV_HUGEPAGE);
    memset(p, 0, (size_t)n * sizeof(real));
  }
#endif
  real *q = (real *)(void *)p;
  for (int64_t i = 0; i < n; i++) q[i] = (real)((i * 2654435761u >> 8 & 0xffff) / 65536.0 - 0.5);
  return q;
}

static void release(void *p) {
  if (getenv("BENCH_THP"))
    free(p);
  else
    mem_free(p);
}

static int rows;
static double total_ms;

static void time_node(const char *label, const Node *node, const Shape *in, bool prepared) {
  Node n = *node, prep;
  real *a = tensor(shape_numel(in[0])), *b = tensor(shape_numel(in[1])),
       *out = tensor(shape_numel(n.shape)), *w = NULL;
  double prep_ms = 0;
  if (n.op != OP_matmul && conv_make_prep(&n, in, &prep) && prepared) {
    w = tensor(shape_numel(prep.shape));
    for (int r = 0; r < 2; r++) {
      double t = now();
      op_table[OP_conv_prep]->cpu(&(Exec){.node = &prep, .ins = in + 1, .in = {b}, .out = w});
      prep_ms = 1e3 * (now() - t);
    }
    n.in[2] = 1;
    n.nin = 3;
  }
  size_t bytes = op_table[n.op]->scratch ? op_table[n.op]->scratch(&n, in) : 0;
  real *scratch = tensor((int64_t)(bytes / sizeof(real)) + 16);
  Exec x = {.node = &n, .ins = in, .in = {a, b, w}, .out = out, .scratch = scratch};
  double best = 1e9, spent = 0;
  for (int r = 0; r < 200 && (r < 3 || spent < 0.25); r++) {
    double t = now();
    op_table[n.op]->cpu(&x);
    t = now() - t;
    spent += t;
    if (t < best) best = t;
  }
  double g = 1e-9 * conv_flop(&n) / best;
  printf("%-34s %-10s %9.3f ms %8.1f GF/s %5.0f%%  prep %7.3f ms  scratch %6.1f MB\n", label,
         n.op == OP_matmul ? "" : conv_algo_name(&n), 1e3 * best, g, 100 * g / peak_gflops, prep_ms,
         1e-6 * (double)bytes);
  fflush(stdout);
  total_ms += 1e3 * best;
  rows++;
  release(a);
  release(b);
  release(out);
  release(w);
  release(scratch);
}

static bool prepared = true;
static int batch;

static void conv(const char *kinds, int n, int ci, int hw, int co, int k, int s, int p) {
  if (batch) n = batch;
  for (; *kinds; kinds++) {
    Graph *g = graph_new();
    Val x = g_input(g, "x", SHAPE4(n, ci, hw, hw)), w = g_input(g, "w", SHAPE4(co, ci, k, k)),
        y = g_conv2d(g, x, w, s, p);
    Val v = *kinds == 'f'   ? y
            : *kinds == 'x' ? g_conv2d_dx(g, y, w, s, p, hw, hw)
                            : g_conv2d_dw(g, x, y, s, p, k, k);
    Node node = *graph_node(g, v);
    Shape in[2] = {*kinds == 'x' ? graph_shape(g, y) : graph_shape(g, x),
                   *kinds == 'w' ? graph_shape(g, y) : graph_shape(g, w)};
    char label[64];
    snprintf(label, sizeof label, "%s n%d %d@%d -> %d k%d s%d",
             *kinds == 'f'   ? "fwd"
             : *kinds == 'x' ? "dx "
                             : "dw ",
             n, ci, hw, co, k, s);
    time_node(label, &node, in, prepared);
    graph_free(g);
  }
}

static void matmul(int m, int n, int k, bool ta, bool tb) {
  Graph *g = graph_new();
  Val v = g_matmul(g, g_input(g, "a", ta ? SHAPE2(k, m) : SHAPE2(m, k)),
                   g_input(g, "b", tb ? SHAPE2(n, k) : SHAPE2(k, n)), ta, tb);
  Node node = *graph_node(g, v);
  Shape in[2] = {ta ? SHAPE2(k, m) : SHAPE2(m, k), tb ? SHAPE2(n, k) : SHAPE2(k, n)};
  char label[64];
  snprintf(label, sizeof label, "matmul %dx%dx%d ta%d tb%d", m, n, k, ta, tb);
  time_node(label, &node, in, false);
  graph_free(g);
}

int main(int argc, char **argv) {
  const char *what = "gdvsum";
  for (int i = 1; i < argc; i++) {
    if (strncmp(argv[i], "n=", 2) == 0)
      batch = atoi(argv[i] + 2);
    else if (strcmp(argv[i], "prep=0") == 0)
      prepared = false;
    else if (strcmp(argv[i], "algo=direct") == 0)
      conv_set_algo(CONV_DIRECT);
    else if (strcmp(argv[i], "algo=winograd") == 0)
      conv_set_algo(CONV_WINOGRAD);
    else if (strcmp(argv[i], "algo=winograd2") == 0)
      conv_set_algo(CONV_WINOGRAD2);
    else
      what = argv[i];
  }
  measure_peak();
  for (const char *c = what; *c; c++) {
    if (*c == 'g') { /* generator, batch 8 */
      for (int r = 4; r <= 32; r *= 2) conv("fxw", 8, 512, r, 512, 3, 1, 1);
      conv("fxw", 8, 256, 64, 256, 3, 1, 1);
      conv("fx", 8, 256, 64, 1, 1, 1, 0);
      conv("w", 8, 256, 64, 1, 1, 1, 0);
    } else if (*c == 'u') { /* up: conv2d_dx with stride 2 */
      for (int r = 4; r <= 16; r *= 2) conv("xfw", 8, 512, 2 * r + 1, 512, 3, 2, 0);
      conv("xfw", 8, 256, 65, 512, 3, 2, 0);
    } else if (*c == 'd') { /* discriminator */
      conv("fxw", 8, 1, 64, 256, 1, 1, 0);
      conv("fxw", 8, 256, 65, 512, 3, 2, 0);
      conv("fxw", 8, 256, 32, 512, 1, 1, 0);
      conv("fxw", 8, 512, 33, 512, 3, 2, 0);
      conv("fxw", 8, 513, 4, 512, 3, 1, 1);
    } else if (*c == 'v') { /* VGG16 */
      conv("fx", 8, 3, 64, 64, 3, 1, 1);
      conv("fx", 8, 64, 64, 64, 3, 1, 1);
      conv("fx", 8, 64, 32, 128, 3, 1, 1);
      conv("fx", 8, 128, 32, 128, 3, 1, 1);
      conv("fx", 8, 128, 16, 256, 3, 1, 1);
      conv("fx", 8, 256, 16, 256, 3, 1, 1);
      conv("fx", 8, 256, 8, 512, 3, 1, 1);
      conv("fx", 8, 512, 8, 512, 3, 1, 1);
      conv("fx", 8, 512, 4, 512, 3, 1, 1);
    } else if (*c == 's') { /* small configuration */
      conv("fxw", 16, 32, 64, 32, 3, 1, 1);
      conv("fxw", 16, 64, 32, 64, 3, 1, 1);
      conv("fxw", 16, 128, 16, 128, 3, 1, 1);
      conv("fxw", 16, 128, 8, 128, 3, 1, 1);
      conv("fxw", 16, 128, 4, 128, 3, 1, 1);
      conv("fxw", 16, 32, 65, 64, 3, 2, 0);
      conv("fxw", 16, 64, 33, 128, 3, 2, 0);
      conv("fxw", 16, 1, 64, 32, 1, 1, 0);
      conv("fxw", 16, 32, 64, 1, 1, 1, 0);
    } else if (*c == 'm') {
      matmul(8, 512, 512, false, true);
      matmul(32, 512, 512, false, true);
      matmul(32, 512, 512, false, false);
      matmul(512, 512, 32, true, false);
      matmul(8, 512, 8192, false, true);
      matmul(8, 8192, 512, false, false);
      matmul(512, 8192, 8, true, false);
      matmul(1024, 1024, 1024, false, false);
    }
  }
  printf("%d rows, %.1f ms\n", rows, total_ms);
  threads_stop();
  return 0;
}
