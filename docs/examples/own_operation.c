/* own_operation.c: defines an operation that the library does not have, differentiates it twice and
 * compares with finite differences.
 *
 *   cc own_operation.c $(pkg-config --cflags --libs prlx) -lm -o own_operation
 *   ./own_operation
 *
 * The operation is the loss of Charbonnier et al. 1994, "Two deterministic half-quadratic
 * regularization algorithms": y = sqrt(x^2 + c^2) - c, elementwise; quadratic near 0, linear far
 * away. Its gradient dy x / sqrt(x^2 + c^2) is built of operations of the library, so it can be
 * differentiated again without another line here. */
#include <math.h>
#include <prlx.h>
#include <stdio.h>

/* What the operation knows beyond its operand. */
typedef struct Charbonnier {
  double c;
} Charbonnier;

static bool charbonnier_shape(const void *context, const prlx_shape *in, prlx_shape *out) {
  (void)context;
  *out = in[0];
  return true;
}

static void charbonnier_run(const void *context, const prlx_shape *in, const float *const *x,
                            float *y) {
  const double c = ((const Charbonnier *)context)->c;
  int64_t n = 1;
  for (int k = 0; k < in[0].rank; k++) n *= in[0].dim[k];
  for (int64_t i = 0; i < n; i++) y[i] = (float)(sqrt((double)x[0][i] * x[0][i] + c * c) - c);
}

/* dx = dy x / (y + c) */
static void charbonnier_grad(const void *context, prlx_graph *g, const prlx_val *x, prlx_val y,
                             prlx_val dy, prlx_val *dx) {
  const double shift[2] = {1, ((const Charbonnier *)context)->c};
  const prlx_val root = prlx_graph_op(g, "axpb", &y, shift);
  const prlx_val slope = prlx_graph_op(g, "div", (prlx_val[]){x[0], root}, NULL);
  dx[0] = prlx_graph_op(g, "mul", (prlx_val[]){dy, slope}, NULL);
}

static double charbonnier(double x, double c) { return sqrt(x * x + c * c) - c; }

int main(void) {
  enum { N = 7 };
  static const float at[N] = {-4, -1, -0.25f, 0, 0.5f, 2, 10};
  const Charbonnier parameters = {0.5};
  const prlx_op op = {.size = sizeof op,
                      .name = "charbonnier",
                      .inputs = 1,
                      .differentiable = true,
                      .context = &parameters,
                      .shape = charbonnier_shape,
                      .run = charbonnier_run,
                      .grad = charbonnier_grad};
  prlx_error e = {PRLX_NOMEM, "out of memory"};
  prlx_graph *g = prlx_graph_new();
  prlx_plan *plan = NULL;
  double worst = 0;
  if (!g) return 1;

  const prlx_val x = prlx_graph_input(g, "x", (prlx_shape){1, {N}});
  const prlx_val y = prlx_graph_own(g, &op, &x);
  const prlx_val dy = prlx_graph_grad(g, y, x);
  const prlx_val ddy = prlx_graph_grad(g, dy, x);
  if (prlx_plan_new(g, 3, (prlx_val[]){y, dy, ddy}, &plan, &e)) {
    fprintf(stderr, "own_operation: %s\n", e.msg);
    prlx_graph_free(g);
    return 1;
  }
  for (int i = 0; i < N; i++) prlx_plan_data(plan, x)[i] = at[i];
  if (prlx_plan_run(plan, &e)) fprintf(stderr, "own_operation: %s\n", e.msg);

  printf("      x         y        y'       y''   (differences:  y'       y'')\n");
  for (int i = 0; i < N; i++) {
    const double h = 1e-3, c = parameters.c, a = at[i];
    const double low = charbonnier(a - h, c), mid = charbonnier(a, c), high = charbonnier(a + h, c);
    const double slope = (high - low) / (2 * h), bend = (high - 2 * mid + low) / (h * h);
    const double first = prlx_plan_data(plan, dy)[i], second = prlx_plan_data(plan, ddy)[i];
    printf("%7.2f %9.5f %9.5f %9.5f %20.5f %9.5f\n", a, prlx_plan_data(plan, y)[i], first, second,
           slope, bend);
    worst = fmax(worst, fmax(fabs(first - slope), fabs(second - bend)));
  }
  prlx_plan_free(plan);
  prlx_graph_free(g);
  printf("largest deviation %.1e\n", worst);
  return worst < 1e-4 ? 0 : 1;
}
