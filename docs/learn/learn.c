/* learn.c: the experiments of docs/learn/ that no command of prlx has.
 *
 * build/learn cube              y = x^3 as a graph, its gradient, the gradient of that (chapter 1)
 * build/learn pyramid           what the noise regulariser sees, level by level (chapter 3)
 * build/learn schedule STEPS    learning rate and added noise along a run (chapter 2) build/learn
 * penalties         R1 and path length: how graphs grow, second order (chapter 6)
 *
 * Each is a page that reads alone, from the top of the file down. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/ops.h"
#include "core/plan.h"
#include "core/rng.h"
#include "core/threads.h"
#include "io/images/dataset.h"
#include "models/gan/projector.h"
#include "models/gan/train.h"

static int learn_fail(const Error *e) {
  fprintf(stderr, "learn: %s\n", e->msg);
  return 1;
}

/* ---- chapter 1: y = x^3 ---- */

/* Prints nodes from..size-1: number, operation, operands. */
static void print_nodes(const Graph *g, int from) {
  for (int v = from; v < graph_size(g); v++) {
    const Node *n = graph_node(g, v);
    printf(n->nin ? "  %%%-3d %-10s" : "  %%%-3d %s", v, node_row(n)->name);
    for (int i = 0; i < n->nin; i++) printf(" %%%d", n->in[i]);
    printf("\n");
  }
}

/* y = x^3 at x, by running the graph. */
static double run_at(Plan *p, Val x, Val out, double at) {
  Error e;
  plan_data(p, x)[0] = (real)at;
  return plan_run(p, &e) == ST_OK ? (double)plan_data(p, out)[0] : NAN;
}

static int learn_cube(void) {
  Error e = {0};
  Graph *g = graph_new();
  const Val x = g_input(g, "x", SHAPE1(1)), y = g_mul(g, g_square(g, x), x);
  printf("y = x^3\n");
  print_nodes(g, 1);
  int from = graph_size(g);
  const Val dy = g_grad1(g, y, x); /* appends nodes; dy is a value like any other */
  printf("dy/dx: %d nodes more\n", graph_size(g) - from);
  print_nodes(g, from);
  from = graph_size(g);
  const Val d2y = g_grad1(g, dy, x);
  printf("d2y/dx2: %d nodes more\n", graph_size(g) - from);
  from = graph_size(g);
  const Val d3y = g_grad1(g, d2y, x);
  printf("d3y/dx3: %d nodes more\n", graph_size(g) - from);
  Plan *p = NULL;
  if (graph_status(g, &e) != ST_OK ||
      plan_new(g, 4, (Val[]){y, dy, d2y, d3y}, NULL, &p, &e) != ST_OK)
    return learn_fail(&e);
  const double h = 1.0 / 64;
  const double y2 = run_at(p, x, y, 2);
  printf("at x = 2: y %g, dy/dx %g, d2y/dx2 %g, d3y/dx3 %g\n", y2, (double)plan_data(p, dy)[0],
         (double)plan_data(p, d2y)[0], (double)plan_data(p, d3y)[0]);
  printf("(y(2 + h) - y(2 - h)) / 2h, h = 1/64: %g\n",
         (run_at(p, x, y, 2 + h) - run_at(p, x, y, 2 - h)) / (2 * h));
  plan_free(p);
  graph_free(g);
  return 0;
}

/* ---- chapter 2: schedules ---- */
static int learn_schedule(int steps) {
  ProjectOptions o = project_defaults();
  o.num_steps = steps;
  printf("step    learning rate  noise added to w (in w_std)\n");
  for (int k = 0; k < 9; k++) {
    const int t = k * steps / 8 - (k == 8);
    printf("%4d    %.4f         %.4f\n", t, project_lr(&o, t), project_w_noise(&o, t));
  }
  return 0;
}

/* ---- chapter 3: the noise regulariser ---- */
enum { SIDE = 64 };

/* The two terms of one level: (mean n roll_x(n))^2 + (mean n roll_y(n))^2. */
static double neighbours(const real *n, int side) {
  double x = 0, y = 0;
  for (int i = 0; i < side * side; i++) {
    const int row = i / side, column = i % side;
    x += (double)n[i] * (double)n[row * side + (column + side - 1) % side];
    y += (double)n[i] * (double)n[(row + side - 1) % side * side + column];
  }
  x /= side * side;
  y /= side * side;
  return x * x + y * y;
}

/* Means of 2x2: [side,side] to [side/2,side/2]. */
static void halve(real *n, int side) {
  for (int y = 0; y < side / 2; y++)
    for (int x = 0; x < side / 2; x++)
      n[y * (side / 2) + x] =
          (real)(0.25 * ((double)n[2 * y * side + 2 * x] + (double)n[2 * y * side + 2 * x + 1] +
                         (double)n[(2 * y + 1) * side + 2 * x] +
                         (double)n[(2 * y + 1) * side + 2 * x + 1]));
}

static void print_levels(const char *what, real *n) {
  noise_normalize(n, SIDE * SIDE);
  printf("%-38s", what);
  for (int side = SIDE;; side /= 2) {
    printf("  %9.6f", neighbours(n, side));
    if (side <= 8) break;
    halve(n, side);
  }
  printf("\n");
}

static int learn_pyramid(void) {
  static real white[SIDE * SIDE], n[SIDE * SIDE];
  static const char *const name[4] = {"white noise", "blocks of 8 x 8 pixels",
                                      "white noise + 0.15 x blocks",
                                      "checkerboard of 8 x 8 blocks"};
  Rng r = {.seed = 3};
  rng_fill_normal(&r, white, SIDE * SIDE);
  printf("%-38s  %9s  %9s  %9s  %9s\n", "map", "64", "32", "16", "8");
  for (int k = 0; k < 4; k++) {
    for (int i = 0; i < SIDE * SIDE; i++) {
      const int by = i / SIDE / 8, bx = i % SIDE / 8;
      const double block = (double)white[by * 8 + bx], board = (bx + by) % 2 ? 1 : -1;
      n[i] = (real)(k == 0   ? (double)white[i]
                    : k == 1 ? block
                    : k == 2 ? (double)white[i] + 0.15 * block
                             : board);
    }
    print_levels(name[k], n);
  }
  return 0;
}

/* ---- chapter 6: R1 and path length ---- */
static int grown(const Graph *g, int *from) {
  const int n = graph_size(g) - *from;
  *from = graph_size(g);
  return n;
}

/* Number of parameters with a gradient, and their gradients of loss as nodes. */
static Status all_gradients(Graph *g, const Params *p, Val loss, int *nodes, Error *e) {
  Val wrt[256], out[256];
  int n = 0;
  for (int v = 1; v < graph_size(g) && n < 256; v++)
    if (graph_node(g, v)->op == OP_param) wrt[n++] = v;
  const int from = graph_size(g);
  (void)p;
  TRY(graph_grad(g, 1, &loss, NULL, n, wrt, out, 0, NULL, e));
  *nodes = graph_size(g) - from;
  return graph_status(g, e);
}

/* R1 of the discriminator D for a batch of 4. */
static Status penalty_r1(const Discriminator *D, Error *e) {
  Graph *g = graph_new();
  int from = 1, more = 0;
  const Val img = g_input(g, "img", SHAPE4(4, 1, 64, 64));
  const Val logits = g_discriminator(g, D, img, 0, false, NULL);
  printf("D(x): %d nodes\n", grown(g, &from));
  Val slope;
  const Val r1 = g_r1_penalty(g, logits, img, &slope);
  printf("R1 = |dD/dx|^2: %d more, of which the gradient is a [4,1,64,64] value like any other\n",
         grown(g, &from));
  Status s = all_gradients(g, &D->params, g_sum_all(g, logits), &more, e);
  if (s == ST_OK) printf("gradient of D for its weights: %d more\n", more);
  grown(g, &from);
  if (s == ST_OK) s = all_gradients(g, &D->params, g_sum_all(g, r1), &more, e);
  if (s == ST_OK) printf("gradient of R1 for its weights, second order: %d more\n", more);
  graph_free(g);
  return s;
}

/* Path length of the generator G for a batch of 2. */
static Status penalty_path(const Generator *G, Error *e) {
  Graph *g = graph_new();
  int from = 1, more = 0;
  const Val ws = g_input(g, "ws", SHAPE3(2, G->num_ws, G->cfg.w_dim)),
            y = g_input(g, "y", SHAPE4(2, 1, 64, 64)), a = g_input(g, "a", SHAPE0());
  const SynthOptions o = {.noise = NOISE_CONST};
  const Val img = g_synthesis(g, G, ws, &o, NULL);
  printf("G(w): %d nodes\n", grown(g, &from));
  const PathLength p = g_path_length(g, img, ws, y, a, 0.01);
  printf("(|J^T y| - a)^2: %d more\n", grown(g, &from));
  const Status s = all_gradients(g, &G->params, g_mean_all(g, p.penalty), &more, e);
  if (s == ST_OK) printf("its gradient for the weights, second order: %d more\n", more);
  graph_free(g);
  return s;
}

static int learn_penalties(void) {
  Error e = {0};
  const GenConfig c = gen_config_small();
  const DisConfig d = dis_config_for(&c);
  Generator G = {0};
  Discriminator D = {0};
  Status s = generator_new(&G, &c, &e);
  if (s == ST_OK) s = discriminator_new(&D, &d, &e);
  if (s == ST_OK) s = penalty_r1(&D, &e);
  if (s == ST_OK) s = penalty_path(&G, &e);
  generator_free(&G);
  discriminator_free(&D);
  return s == ST_OK ? 0 : learn_fail(&e);
}

/* ---- chapter 5: the true rim ---- */

/* Mean of image over the rim minus that over the core, in ppb: the core is what lies nearer to the
 * middle of the rim than four fifths of its mean radius. NAN: no rim. */
static double rim_contrast(const float *image, const float *rim, int side, double ppb) {
  double n = 0, cx = 0, cy = 0, radius = 0, on = 0, core = 0, inside = 0;
  for (int i = 0; i < side * side; i++) {
    n += rim[i] > 0;
    cx += rim[i] > 0 ? i % side : 0;
    cy += rim[i] > 0 ? i / side : 0;
  }
  for (int i = 0; i < side * side; i++)
    radius += rim[i] > 0 ? hypot(i % side - cx / n, i / side - cy / n) / n : 0;
  for (int i = 0; i < side * side; i++) {
    const bool in = hypot(i % side - cx / n, i / side - cy / n) < 0.8 * radius;
    if (rim[i] > 0) on += (double)image[i] / n;
    if (in && !(rim[i] > 0)) {
      inside++;
      core += (double)image[i];
    }
  }
  return n && inside ? (on - core / inside) * ppb : NAN;
}

/* Index of the image of this name in d, -1. */
static int64_t image_named(const Dataset *d, const char *name) {
  for (int64_t i = 0; i < d->n && d->names; i++)
    if (!strcmp(d->names[i], name)) return i;
  return -1;
}

static int learn_rim(int n, char **paths) {
  Dataset set[8];
  Error e = {0};
  int opened = 0;
  while (opened < n && opened < 8 && dataset_open(&set[opened], paths[opened], &e) == ST_OK)
    opened++;
  for (int64_t i = 0; opened == n && i < set[0].n; i++) {
    const int64_t pixels = (int64_t)set[0].h * set[0].w;
    char line[256];
    int at = snprintf(line, sizeof line, "%s", set[0].names[i]), missing = 0;
    for (int k = 1; k < n; k++) {
      const int64_t j = image_named(&set[k], set[0].names[i]);
      missing += j < 0;
      if (j < 0) continue;
      const double c = rim_contrast(set[k].images + j * set[k].channels * pixels,
                                    set[0].images + (2 * i + 1) * pixels, set[0].w, 125);
      at += isnan(c) ? snprintf(line + at, sizeof line - (size_t)at, "  no rim")
                     : snprintf(line + at, sizeof line - (size_t)at, "  %5.1f", c);
    }
    if (!missing) printf("%s\n", line);
  }
  for (int k = 0; k < opened; k++) dataset_free(&set[k]);
  return opened == n ? 0 : learn_fail(&e);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  int rc = 2;
  if (!strcmp(what, "cube"))
    rc = learn_cube();
  else if (!strcmp(what, "pyramid"))
    rc = learn_pyramid();
  else if (!strcmp(what, "penalties"))
    rc = learn_penalties();
  else if (!strcmp(what, "rim") && argc > 3)
    rc = learn_rim(argc - 2, argv + 2);
  else if (!strcmp(what, "schedule") && argc > 2 && atoi(argv[2]) > 0)
    rc = learn_schedule(atoi(argv[2]));
  else
    fprintf(stderr, "usage: learn cube | pyramid | schedule STEPS | penalties | rim RIMS SET...\n");
  threads_stop();
  return rc;
}
