/* dump.c: `prlx dump`: what the planner did with a model: its graph, its steps or its memory
 * (core/plan_dump.h), as text and as SVG. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/ops.h"
#include "core/plan_dump.h"
#include "io/formats/text.h"
#include "models/gan/train.h"
#include "models/store/classifierfile.h"
#include "models/store/netfile.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

typedef struct DumpArgs {
  int batch;
  int side;
  bool gradient;
  bool no_fusion;
  const char *svg;
} DumpArgs;

/* A model as a graph: one input that may be differentiated, and its outputs. */
typedef struct DumpModel {
  const DumpArgs *args;
  Graph *graph;
  Backend *backend; /* NULL: the CPU */
  Val input;
  Val out[VGG_TAPS + 1];
  int nout;
} DumpModel;

static void dump_generator(DumpModel *m, const Generator *G) {
  Graph *g = m->graph;
  const int n = m->args->batch;
  const Val z = g_input(g, "z", SHAPE2(n, G->cfg.z_dim));
  const Val c = G->cfg.c_dim ? g_input(g, "c", SHAPE2(n, G->cfg.c_dim)) : 0;
  const SynthOptions so = {.noise = NOISE_CONST, .frozen = true};
  const Val ws = g_broadcast_ws(g, G, g_mapping(g, G, z, c, true), 1.0, -1);
  m->input = z;
  m->out[m->nout++] = g_synthesis(g, G, ws, &so, NULL);
}

static void dump_vgg(DumpModel *m, const Vgg *v) {
  VggTaps taps;
  const int64_t side = m->args->side;
  m->input = g_input(m->graph, "image", SHAPE4(m->args->batch, 1, side, side));
  g_vgg(m->graph, v, g_vgg_input(m->graph, m->input, VGG_CHANNELS_AUTO), &taps);
  g_lpips_features(m->graph, v, &taps, m->out);
  m->nout = VGG_TAPS;
}

static void dump_classifier(DumpModel *m, const Classifier *c) {
  const int64_t side = m->args->side;
  m->input = g_input(m->graph, "image", SHAPE4(m->args->batch, c->cfg.channels, side, side));
  m->out[m->nout++] = g_classifier(m->graph, c, m->input, NULL, NULL);
}

/* d sum(outputs) / d input as one more output. */
static Status dump_gradient(DumpModel *m, Error *e) {
  Val dx;
  TRY(graph_grad(m->graph, m->nout, m->out, NULL, 1, &m->input, &dx, 0, NULL, e));
  m->out[m->nout++] = dx;
  return ST_OK;
}

static Status dump_svg_file(const Plan *p, DumpKind kind, const char *path, Error *e) {
  TextFile t;
  TRY(text_begin(&t, path, e));
  const Status s = plan_dump_svg(p, kind, t.stream, e);
  if (s == ST_OK) return text_commit(&t, path, e);
  text_abort(&t);
  return s;
}

static Status dump_model(DumpModel *m, DumpKind kind, Error *e) {
  Plan *p = NULL;
  const PlanOptions o = {.no_fusion = m->args->no_fusion, .backend = m->backend};
  TRY(graph_status(m->graph, e));
  if (m->args->gradient) TRY(dump_gradient(m, e));
  TRY(plan_new(m->graph, m->nout, m->out, &o, &p, e));
  plan_dump_text(p, kind, stdout);
  const Status s = m->args->svg ? dump_svg_file(p, kind, m->args->svg, e) : ST_OK;
  plan_free(p);
  return s;
}

/* Plans are those of the CPU unless --device cuda says otherwise. */
static Status dump_backend(Precision usual, Backend **out, Error *e) {
  *out = NULL;
  return opts_device() == DEVICE_CUDA ? tool_backend(usual, out, e) : ST_OK;
}

/* All phases of training: `config` on images of `side` pixels, in one round of `batch`. */
static Status dump_training(const DumpArgs *a, const char *config, Error *e) {
  TrainConfig c;
  Trainer *t = NULL;
  TRY(train_preset(&c, config, a->side, 1, 0, e));
  TRY(dump_backend(PREC_F16, &c.backend, e)); /* as prlx train */
  c.batch = c.batch_gpu = a->batch;
  c.pl_batch_shrink = PRLX_MIN(c.pl_batch_shrink, c.batch);
  while (c.batch % c.D.mbstd_group_size) c.D.mbstd_group_size--;
  real *image = mem_alloc((size_t)a->side * (size_t)a->side * sizeof *image);
  if (!image) return err_set(e, ST_NOMEM, "dump: out of memory for an image");
  const Status s = trainer_new(&c, &(TrainData){image, NULL, 1}, &t, e);
  if (s == ST_OK) {
    trainer_counts(t, stdout);
    trainer_buckets(t, stdout);
  }
  trainer_free(t);
  mem_free(image);
  return s;
}

/* Loads what the file holds, builds its graph and dumps the plan of it. */
static Status dump_file(const DumpArgs *a, DumpKind kind, const char *path, Error *e) {
  DumpModel m = {.args = a};
  Network net = {0};
  Vgg vgg = {0};
  Classifier cls = {0};
  char channels[64];
  Error other;
  Status s = ST_OK;
  TRY(dump_backend(PREC_TF32, &m.backend, e));
  m.graph = graph_new();
  if (!m.graph) return err_set(e, ST_NOMEM, "dump: out of memory for a graph");
  graph_half_range(m.graph, backend_is_half(m.backend));
  if (classifier_load(&cls, path, channels, &other) == ST_OK)
    dump_classifier(&m, &cls);
  else if (vgg_load(&vgg, path, NULL, &other) == ST_OK)
    dump_vgg(&m, &vgg);
  else {
    s = network_load(&net, path, e);
    if (s != ST_OK) goto done;
    dump_generator(&m, &net.G);
  }
  s = dump_model(&m, kind, e);
done:
  graph_free(m.graph);
  network_free(&net);
  vgg_free(&vgg);
  classifier_free(&cls);
  return s;
}

int tool_dump(int argc, char **argv) {
  DumpArgs a = {0};
  Opt opt[] = {
      OPT_INT("batch", &a.batch, "1", 1, 4096, "images at once"),
      OPT_INT("side", &a.side, "64", 16, 2048, "VGG16, classifier, training: pixels of a side"),
      OPT_FLAG("gradient", &a.gradient, "no", "the gradient for the input (z or image) as well"),
      OPT_FLAG("no-fusion", &a.no_fusion, "no", "as if every operation ran on its own"),
      OPT_STR("svg", &a.svg, NULL, "FILE", "also draw it"),
  };
  OptSpec s = {
      .cmd = "dump",
      .summary = "what the planner did with a model: its graph, its steps, its memory",
      .details =
          "  graph    every value: operation, operands, shape, what became of it, attributes\n"
          "  plan     the steps: fused loops, algorithm of each convolution, work\n"
          "  memory   where each value lives, and between which steps\n"
          "MODEL is a network (file or run folder), VGG16 weights or a classifier. `plan` also "
          "takes\n"
          "train:small and train:paper: what each phase of training costs, one round of --batch "
          "images of --side\n"
          "pixels; with --device cuda on the GPU, in its --precision. Below that, how much of a "
          "backward pass is left\n"
          "when a part of the gradient is complete, whose sum over several processes may run "
          "beside it.\n"
          "Environment PRLX_DUMP=DIR: every plan that any command makes is written to DIR, as "
          "text\n"
          "and as SVG: mkdir d; PRLX_DUMP=d prlx train ...\n",
      .opt = opt,
      .n = COUNT_OF(opt),
      .pos = "graph|plan|memory MODEL",
      .pos_min = 2,
      .pos_max = 2};
  int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  Error e = {0};
  if (!strncmp(s.args[1], "train:", 6) && !strcmp(s.args[0], dump_kind_name[DUMP_PLAN]))
    return dump_training(&a, s.args[1] + 6, &e) ? tool_fail("dump", &e) : EXIT_DONE;
  if (outputs_file(a.svg, "<svg", &e) != ST_OK) return tool_fail("dump", &e);
  for (int kind = 0; kind < DUMP_KINDS; kind++) {
    if (strcmp(s.args[0], dump_kind_name[kind])) continue;
    return dump_file(&a, (DumpKind)kind, s.args[1], &e) ? tool_fail("dump", &e) : EXIT_DONE;
  }
  return tool_usage("dump", "'%s' is none of graph, plan, memory", s.args[0]);
}
