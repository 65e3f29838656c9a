/* climb.c: climbs the ladders. Every rung gets the same problem, is compared with rung 0, and its
 * rate is printed beside what was changed.
 *
 *   build/ladder [matmul|conv|modconv|upfirdn]... [--quick] [--card]
 *
 * Rates are of the definition's multiply-adds, so an algorithm that needs fewer (Winograd) shows a
 * higher rate. Rung 0 computes in double on one core, the hand-written rungs in float on one core,
 * today's kernel on PRLX_THREADS cores in the instruction set PRLX_ISA. --card: the CUDA rungs
 * (build/emu/ladder in the emulation, build/gpu/ladder through nvcc). Exit code 1: a rung is
 * wrong. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/isa.h"
#include "core/threads.h"
#include "docs/learn/ladder/ladder.h"

static const char *const ladder_names[LADDER_COUNT] = {"matmul", "conv", "modconv", "upfirdn"};
enum { SIZES = 2 };

/* The first of each is quick; the second is of the paper's network (64x64, 512 channels at most) or
 * of VGG16 under it. */
static const MatmulSize products[SIZES] = {{48, 96, 64}, {512, 1024, 512}};
static const FirSize filters[SIZES] = {{4, 12, 10, 2, 1, 2, 1, 4, 4},
                                       {256, 32, 32, 2, 1, 2, 1, 4, 4}};
static ConvGeom convolutions[SIZES], modulated[SIZES];

static const void *ladder_size(int kind, int i) {
  switch (kind) {
    case LADDER_MATMUL: return products + i;
    case LADDER_CONV: return convolutions + i;
    case LADDER_MODCONV: return modulated + i;
    default: return filters + i;
  }
}

static void row(const char *name, double seconds, double first, const Problem *p, double error,
                const char *changed, bool rates) {
  char rate[40] = "-";
  if (rates)
    snprintf(rate, sizeof rate, "%9.3f ms %7.2f GFLOP/s %7.1fx", 1e3 * seconds,
             p->flop / seconds / 1e9, first / seconds);
  printf("  %-28s %36s  error %.1e  %s\n", name, rate, error, changed);
}

static int passed, failed;

static void climb(const Rung *rungs, const Problem *p, bool card, int repeat) {
  const bool rates = !card || !card_emulated();
  printf("%s %s\n", ladder_names[p->kind], p->text);
  row("rung 0: the definition", p->seconds, p->seconds, p, 0, "double, ten lines", rates);
  for (const Rung *r = rungs; r->name; r++) {
    double seconds = 0;
    if (!ladder_fits(r, p)) continue;
    const double error = ladder_error(r, p, card, repeat, &seconds);
    /* single precision, sums of some thousands; Winograd's transforms round, too */
    const bool fine = error < 2e-5;
    row(r->name, seconds, p->seconds, p, error, r->changed, rates);
    if (!fine) printf("  WRONG: %s\n", r->name);
    passed += fine;
    failed += !fine;
  }
}

int main(int argc, char **argv) {
  bool wanted[LADDER_COUNT] = {false}, any = false, quick = false, card = false;
  for (int i = 1; i < argc; i++) {
    int k = 0;
    while (k < LADDER_COUNT && strcmp(argv[i], ladder_names[k]) != 0) k++;
    if (k < LADDER_COUNT) {
      any = wanted[k] = true;
    } else if (!strcmp(argv[i], "--quick")) {
      quick = true;
    } else if (!strcmp(argv[i], "--card")) {
      card = true;
    } else {
      fprintf(stderr, "usage: ladder [matmul|conv|modconv|upfirdn]... [--quick] [--card]\n");
      return 2;
    }
  }
#ifndef LADDER_CARD
  if (card) {
    fprintf(stderr, "ladder: built without CUDA; build/emu/ladder (make ladder-emu) or "
                    "build/gpu/ladder (make ladder-gpu) have the CUDA rungs\n");
    return 2;
  }
  const Rung(*rungs)[MAX_RUNGS] = ladder_cpu;
#else
  const Rung(*rungs)[MAX_RUNGS] = card ? ladder_cuda : ladder_cpu;
#endif
  convolutions[0] = ladder_conv(1, 9, 12, 10, 3, 1, 1);
  convolutions[1] = ladder_conv(1, 256, 64, 256, 3, 1, 1);
  modulated[0] = ladder_conv(2, 9, 12, 10, 3, 1, 1);
  modulated[1] = ladder_conv(2, 512, 16, 512, 3, 1, 1);
  printf("instruction set %s, %d threads in today's kernels\n", isa_name(isa_current()),
         threads_count());
  for (int k = 0; k < LADDER_COUNT; k++)
    for (int i = 0; i < (quick ? 1 : SIZES); i++) {
      Problem p = {0};
      if (any && !wanted[k]) continue;
      if (!problem_new((LadderKind)k, ladder_size(k, i), 15, &p)) {
        fprintf(stderr, "ladder: out of memory\n");
        return 1;
      }
      climb(rungs[k], &p, card, i && !card ? 5 : 2);
      ladder_today_end();
      problem_free(&p);
    }
  threads_stop();
  printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
