/* cuda_ops.c: the CUDA backend against the CPU: every operation of the table with its gradients of
 * first and second order, over shapes, storage types and precisions; fused loops; whole plans; the
 * optimiser. The same program for the emulated sources (make test-cuda-emu) and for a card (make
 * test-gpu).
 * usage: cuda_ops [strict] [tf32] [f16] [bf16] [ops] [loops] [plans] [optimiser]   (default: all)
 * environment: TEST_LONG=1 all shapes; TEST_RUNG=1|2 the float kernels, the definitions of
 * cuda/naive.h in place of the kernels as designed; TEST_WGMMA=2 convolutions in 16 bits by wgmma
 * wherever they can be; PRLX_ONLY=text only cases whose name contains it; TEST_STOP=1 stop at the
 * first failure; PRLX_CUDA_LAYOUT=planes|last the maps of plans lie so, whatever moves fewer
 * bytes */
#include "core/conv.h"
#include "core/threads.h"
#include "cuda/device.h"
#include "test/cuda_check.h"
#include "test/cuda_exact.h"

int test_passed, test_failed;

static bool wanted(int argc, char **argv, const char *const *group, int n, const char *what) {
  bool any = false;
  for (int i = 1; i < argc; i++)
    for (int k = 0; k < n; k++)
      if (!strcmp(argv[i], group[k])) {
        any = true;
        if (!strcmp(argv[i], what)) return true;
      }
  return !any;
}

static void coverage(const Bench *t) {
  for (int op = 1; op < OP_COUNT; op++) {
    /* conv_prep is made by the planner: plans, cuda_paper */
    if (op_table[op]->flags & OPF_LEAF || op == OP_conv_prep) continue;
    CHECK(t->covered[op], "operation %s was not compared", op_table[op]->name);
  }
}

int main(int argc, char **argv) {
  static const char *const precisions[] = {"strict", "tf32", "f16", "bf16"}, *const parts[] = {
                                                                                 "ops", "loops",
                                                                                 "plans",
                                                                                 "optimiser"};
  Error e = {0};
  char why[256];
  const char *missing[OP_COUNT];
  threads_set(1);
  conv_set_algo(CONV_DIRECT); /* the reference: no Winograd rounding */
  int devices = cuda_device_count(why, sizeof why);
  if (!devices) {
    printf("no CUDA device: %s\n0 passed, 0 failed\n", why);
    return 2;
  }
  int none = cuda_missing(missing, OP_COUNT);
  for (int i = 0; i < none; i++) CHECK(0, "operation %s has no CUDA kernel", missing[i]);
  cuda_describe(0, why, sizeof why);
  printf("device: %s\n", why);
  for (int p = 0; p < 4; p++) {
    if (!wanted(argc, argv, precisions, 4, precisions[p])) continue;
    Bench t = {.quick = !getenv("TEST_LONG"), .only = getenv("PRLX_ONLY")};
    Status st = cuda_backend_new(0, (Precision)p, &t.b, &e);
    CHECK(st == ST_OK, "backend: %s", e.msg);
    if (st) break;
    if (getenv("TEST_RUNG")) cuda_use_rung(t.b, atoi(getenv("TEST_RUNG")));
    if (getenv("TEST_WGMMA")) cuda_use_wgmma(t.b, atoi(getenv("TEST_WGMMA")));
    if (wanted(argc, argv, parts, 4, "ops")) {
      check_operations(&t);
      if (p != PREC_TF32 && !t.only) coverage(&t);
    }
    if (wanted(argc, argv, parts, 4, "loops")) check_loops(&t);
    if (!getenv("TEST_RUNG") && wanted(argc, argv, parts, 4, "loops")) check_multi(&t);
    if (wanted(argc, argv, parts, 4, "plans")) check_plans(&t);
    if (p == PREC_STRICT && wanted(argc, argv, parts, 4, "optimiser")) check_optimiser(&t);
    printf("%s: %lld steps, %lld comparisons, %lld with channels last\n",
           precision_name((Precision)p), (long long)t.steps, (long long)t.variants,
           (long long)t.layouts);
    if (getenv("TEST_WGMMA")) {
      printf("%ld products by wgmma\n", cuda_wgmma_launches());
      CHECK((p != PREC_F16 && p != PREC_BF16) || cuda_wgmma_launches() > 0, "no product by wgmma");
    }
    cuda_backend_free(t.b);
  }
  CHECK(exact_live() == 0, "%zu device allocations leaked", exact_live());
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  threads_stop();
  return test_end();
}
