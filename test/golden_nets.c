/* golden_nets.c: mapping, generator, discriminator (with R1) and path length against the golden
 * files. Sizes, channels, classes and which results exist all come from the file. */
#include "test/golden_nets.h"
#include <stdlib.h>
#include <string.h>
#include "models/gan/train.h"

/* ---- networks from metadata and tensors ---- */

GenConfig gold_gen_config(Gold *g) {
  return (GenConfig){.z_dim = (int)gold_int(g, "G.z_dim", 0),
                     .c_dim = (int)gold_int(g, "G.c_dim", 0),
                     .w_dim = (int)gold_int(g, "G.w_dim", 0),
                     .img_resolution = (int)gold_int(g, "G.img_resolution", 0),
                     .img_channels = (int)gold_int(g, "G.img_channels", 0),
                     .mapping_layers = (int)gold_int(g, "G.mapping_layers", 0),
                     .channel_base = (int)gold_int(g, "G.channel_base", 0),
                     .channel_max = (int)gold_int(g, "G.channel_max", 0),
                     .conv_clamp = gold_num(g, "G.conv_clamp", -1)};
}

DisConfig gold_dis_config(Gold *g) {
  return (DisConfig){.c_dim = (int)gold_int(g, "D.c_dim", 0),
                     .img_resolution = (int)gold_int(g, "D.img_resolution", 0),
                     .img_channels = (int)gold_int(g, "D.img_channels", 0),
                     .channel_base = (int)gold_int(g, "D.channel_base", 0),
                     .channel_max = (int)gold_int(g, "D.channel_max", 0),
                     .mbstd_group_size = (int)gold_int(g, "D.mbstd_group_size", 4),
                     .mbstd_num_channels = (int)gold_int(g, "D.mbstd_num_channels", 1),
                     .mapping_layers = (int)gold_int(g, "D.mapping_layers", 0),
                     .conv_clamp = gold_num(g, "D.conv_clamp", -1)};
}

/* Copies what the file has under prefix+name; returns how many tensors that were, -1 after a shape
 * mismatch. `only` (may be NULL): every tensor whose name starts with it must be there. */
static int load_params(Gold *g, Params *p, const char *prefix, const char *only) {
  int n = 0;
  for (int i = 0; i < p->n; i++) {
    const char *name = gold_name(g, "%s%s", prefix, p->entry[i].name);
    if (!gold_has(g, name)) {
      if (only && !strncmp(p->entry[i].name, only, strlen(only))) {
        gold_fail(g, "%s is missing", name);
        return -1;
      }
      continue;
    }
    Shape s;
    const real *d = gold_load(g, name, &s);
    if (!d || !shape_eq(s, p->entry[i].shape)) {
      gold_fail(g, "%s has another shape than the network", name);
      return -1;
    }
    memcpy(p->entry[i].data, d, (size_t)p->entry[i].numel * sizeof(real));
    n++;
  }
  return n;
}

static bool load_generator(Gold *g, Generator *G, const GenConfig *cfg, const char *only) {
  Error e = {0};
  if (!gold_ok(g, generator_new(G, cfg, &e), &e, "generator_new")) return false;
  int n = load_params(g, &G->params, "G.", only);
  if (n == 0) generator_formula(G, "G.");
  if (n >= 0) return true;
  generator_free(G);
  return false;
}

static Val labels(GoldRun *r, int c_dim) { return c_dim > 0 ? gold_in(r, "in.c") : 0; }

/* Expects prefix+name for every parameter (and buffer) of `p` the file has a tensor for: gradients
 * of L, or of a second-order scalar. With second = true, biases are judged on the scale of the
 * net's largest gradient: they arise only through the stddev layer and the labels. */
static void expect_param_grads(GoldRun *r, const Params *p, const char *prefix, Val L,
                               bool second) {
  static Val wrt[512], dx[512];
  static const char *name[512];
  int n = 0;
  double scale = 0;
  for (int i = 0; i < p->n && n < 512; i++) {
    const char *full = gold_name(r->g, "%s%s", prefix, p->entry[i].name);
    if (!gold_has(r->g, full)) continue;
    wrt[n] = params_leaf(r->graph, p, p->entry[i].name, false);
    name[n++] = full;
    scale = PRLX_MAX(scale, gold_maxabs(r->g, full));
  }
  if (n == 0 || !gold_grads(r, L, n, wrt, dx)) return;
  for (int i = 0; i < n; i++) {
    if (second && strstr(name[i], ".bias"))
      gold_expect_scale(r, dx[i], name[i], scale, 0);
    else
      gold_expect(r, dx[i], name[i]);
  }
}

/* ---- mapping ---- */

void golden_mapping(Gold *g) {
  int num_ws = (int)gold_int(g, "num_ws", 0), c_dim = (int)gold_int(g, "c_dim", 0);
  GenConfig cfg = {.z_dim = (int)gold_int(g, "z_dim", 0),
                   .c_dim = c_dim,
                   .w_dim = (int)gold_int(g, "w_dim", 0),
                   .img_resolution = 4,
                   .img_channels = 1,
                   .mapping_layers = (int)gold_int(g, "mapping_layers", 0),
                   .channel_base = 4,
                   .channel_max = 1,
                   .conv_clamp = -1};
  if (gold_num(g, "lr_multiplier", 0.01) != 0.01) {
    gold_fail(g, "lr_multiplier other than 0.01");
    return;
  }
  Generator G;
  if (!load_generator(g, &G, &cfg, "mapping.")) return;
  /* the synthesis network is the smallest possible and not used */
  G.num_ws = num_ws;
  GoldRun r;
  gold_run_begin(&r, g);
  Val z = gold_in(&r, "in.z"), w = g_mapping(r.graph, &G, z, labels(&r, c_dim), false);
  double psi = gold_num(g, "truncation_psi", 1);
  gold_expect(&r, w, "out.w");
  gold_expect(&r, g_broadcast_ws(r.graph, &G, w, 1, -1), "out.ws");
  gold_expect(&r, g_broadcast_ws(r.graph, &G, w, psi, -1), "out.ws_psi");
  gold_expect(&r, g_broadcast_ws(r.graph, &G, w, psi, (int)gold_int(g, "truncation_cutoff", -1)),
              "out.ws_psi_cutoff");
  Val mean = g_mean(r.graph, w, 1u << 0);
  gold_keep(&r, mean);
  Val L = gold_dot(&r, w, gold_in(&r, "in.r")), dz;
  if (gold_grads(&r, L, 1, &z, &dz)) gold_expect(&r, dz, "grad.in.z");
  expect_param_grads(&r, &G.params, "grad.G.", L, false);
  if (gold_run_exec(&r)) {
    gold_run_check(&r);
    real *w_avg = params_find(&G.params, "mapping.w_avg")->data;
    ema_update(w_avg, gold_value(&r, mean), cfg.w_dim, gold_num(g, "w_avg_beta", 0.995));
    gold_compare(g, "out.w_avg_updated", w_avg, cfg.w_dim);
  }
  gold_run_free(&r);
  generator_free(&G);
}

/* ---- generator ---- */

static Val synthesize(GoldRun *r, const Generator *G, Val ws, NoiseMode mode, const Val *maps,
                      SynthTaps *taps) {
  SynthOptions o = {.noise = mode, .noise_maps = maps, .frozen = false};
  return g_synthesis(r->graph, G, ws, &o, taps);
}

static void expect_if(GoldRun *r, Val v, const char *name) {
  if (gold_has(r->g, name)) gold_expect(r, v, name);
}

/* The variants of the full files: no noise, truncation, given noise. */
static void generator_variants(GoldRun *r, const Generator *G, Val w, Val ws) {
  Gold *g = r->g;
  expect_if(r, synthesize(r, G, ws, NOISE_NONE, NULL, NULL), "out.img_nonoise");
  if (gold_has(g, "out.img_psi")) {
    Val t = g_broadcast_ws(r->graph, G, w, gold_num(g, "truncation_psi", 1),
                           (int)gold_int(g, "truncation_cutoff", -1));
    gold_expect(r, synthesize(r, G, t, NOISE_CONST, NULL, NULL), "out.img_psi");
  }
  if (gold_has(g, "out.img_random")) {
    Val maps[MAX_NOISE];
    /* "synthesis.b8.conv0.noise_const" -> "in.noise.b8.conv0" */
    for (int i = 0; i < G->num_noise; i++) {
      int len =
          (int)strlen(G->noise_name[i]) - (int)strlen("synthesis.") - (int)strlen(".noise_const");
      maps[i] =
          gold_in(r, gold_name(g, "in.noise.%.*s", len, G->noise_name[i] + strlen("synthesis.")));
    }
    gold_expect(r, synthesize(r, G, ws, NOISE_GIVEN, maps, NULL), "out.img_random");
  }
}

void golden_generator(Gold *g) {
  GenConfig cfg = gold_gen_config(g);
  Generator G;
  if (!load_generator(g, &G, &cfg, NULL)) return;
  GoldRun r;
  gold_run_begin(&r, g);
  Val z = gold_in(&r, "in.z"), w = g_mapping(r.graph, &G, z, labels(&r, cfg.c_dim), false);
  Val ws = g_broadcast_ws(r.graph, &G, w, 1, -1);
  SynthTaps taps;
  Val img = synthesize(&r, &G, ws, NOISE_CONST, NULL, &taps);
  expect_if(&r, w, "out.w");
  expect_if(&r, ws, "out.ws");
  gold_expect(&r, img, "out.img");
  for (int i = 0; i < taps.n; i++) {
    expect_if(&r, taps.x[i], gold_name(g, "out.b%d.x", 4 << i));
    expect_if(&r, taps.img[i], gold_name(g, "out.b%d.img", 4 << i));
  }
  generator_variants(&r, &G, w, ws);
  /* paper files: the first w alone, through all layers */
  if (gold_has(g, "grad.w")) {
    Val w1 = g_slice(r.graph, w, 0, 0, 1, 1), dw;
    Val L = gold_dot(
        &r, synthesize(&r, &G, g_broadcast_ws(r.graph, &G, w1, 1, -1), NOISE_CONST, NULL, NULL),
        gold_in(&r, "in.r"));
    if (gold_grads(&r, L, 1, &w1, &dw)) gold_expect(&r, dw, "grad.w");
  } else {
    Val L = gold_dot(&r, img, gold_in(&r, "in.r")), wrt[2] = {z, ws}, dx[2];
    if (gold_grads(&r, L, 2, wrt, dx)) {
      expect_if(&r, dx[0], "grad.in.z");
      expect_if(&r, dx[1], "grad.ws");
    }
    expect_param_grads(&r, &G.params, "grad.G.", L, false);
  }
  gold_run_end(&r);
  generator_free(&G);
}

/* ---- discriminator ---- */

/* in.img of the file, or image n = amp[n] * formula("in.img") when it has none. */
static Val image_input(GoldRun *r, const DisConfig *cfg) {
  Gold *g = r->g;
  if (gold_has(g, "in.img")) return gold_in(r, "in.img");
  const char *amp = gold_str(g, "amp");
  double a[64];
  int n = 0;
  for (const char *s = amp; s && n < 64; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
    a[n++] = atof(s);
  if (n == 0) {
    gold_fail(g, "neither in.img nor metadata `amp`");
    return 0;
  }
  int64_t per = (int64_t)cfg->img_channels * cfg->img_resolution * cfg->img_resolution;
  real *d = gold_scratch(g, n * per);
  formula_fill(d, n * per, "in.img", 1, 0);
  for (int64_t i = 0; i < n * per; i++) d[i] = (real)(float)(d[i] * a[i / per]);
  return gold_in_data(r, "in.img",
                      SHAPE4(n, cfg->img_channels, cfg->img_resolution, cfg->img_resolution), d);
}

void golden_discriminator(Gold *g) {
  DisConfig cfg = gold_dis_config(g);
  const char *arch = gold_str(g, "D.architecture");
  if (arch && strcmp(arch, "resnet")) {
    gold_fail(g, "discriminator architecture %s; only resnet exists here", arch);
    return;
  }
  Discriminator D;
  Error e = {0};
  if (!gold_ok(g, discriminator_new(&D, &cfg, &e), &e, "discriminator_new")) return;
  int n = load_params(g, &D.params, "D.", NULL);
  if (n < 0) {
    discriminator_free(&D);
    return;
  }
  if (n == 0) discriminator_formula(&D, "D.");
  GoldRun r;
  gold_run_begin(&r, g);
  DisTaps taps;
  Val img = image_input(&r, &cfg),
      logits = g_discriminator(r.graph, &D, img, labels(&r, cfg.c_dim), false, &taps), dimg;
  gold_expect(&r, logits, "out.logits");
  for (int i = 0; i < taps.n; i++)
    expect_if(&r, taps.x[i], gold_name(g, "out.b%d.x", cfg.img_resolution >> i));
  if (taps.cmap) expect_if(&r, taps.cmap, "out.cmap");
  if (gold_has(g, "grad.img0")) {
    if (gold_grads(&r, g_sum_all(r.graph, logits), 1, &img, &dimg))
      gold_expect(&r, g_slice(r.graph, dimg, 0, 0, 1, 1), "grad.img0");
  } else {
    Val L = gold_dot(&r, logits, gold_in(&r, "in.r"));
    if (gold_grads(&r, L, 1, &img, &dimg)) gold_expect(&r, dimg, "grad.in.img");
    expect_param_grads(&r, &D.params, "grad.D.", L, false);
  }
  if (gold_has(g, "out.r1_penalty")) {
    Val gimg, pen = g_r1_penalty(r.graph, logits, img, &gimg);
    gold_expect(&r, gimg, "out.r1_grad");
    gold_expect(&r, pen, "out.r1_penalty");
    Val L = g_axpb(r.graph, g_mean_all(r.graph, pen), gold_num(g, "r1_gamma", 0) / 2, 0);
    expect_param_grads(&r, &D.params, "grad_r1.D.", L, true);
  }
  gold_run_end(&r);
  discriminator_free(&D);
}

/* ---- path length ---- */

void golden_path_length(Gold *g) {
  GenConfig cfg = gold_gen_config(g);
  Generator G;
  if (!load_generator(g, &G, &cfg, "")) return;
  GoldRun r;
  gold_run_begin(&r, g);
  int64_t n = gold_int(g, "batch", 0) / gold_int(g, "pl_batch_shrink", 2);
  Val z = g_slice(r.graph, gold_in(&r, "in.z"), 0, 0, n, 1), c = labels(&r, cfg.c_dim);
  if (c) c = g_slice(r.graph, c, 0, 0, n, 1);
  Val w = g_mapping(r.graph, &G, z, c, false), ws = g_broadcast_ws(r.graph, &G, w, 1, -1),
      mean = g_mean(r.graph, w, 1u << 0);
  Val img = synthesize(&r, &G, ws, NOISE_CONST, NULL, NULL);
  PathLength pl = g_path_length(r.graph, img, ws, gold_in(&r, "in.pl_noise"),
                                gold_in(&r, "in.pl_mean"), gold_num(g, "pl_decay", 0.01));
  Val L = g_axpb(r.graph, g_mean_all(r.graph, pl.penalty),
                 gold_num(g, "gain", 1) * gold_num(g, "pl_weight", 2), 0);
  gold_expect(&r, pl.grads, "out.pl_grads");
  gold_expect(&r, pl.lengths, "out.lengths");
  gold_expect(&r, pl.penalty, "out.penalty");
  gold_expect(&r, pl.mean, "out.pl_mean");
  gold_expect(&r, L, "out.loss");
  gold_keep(&r, mean);
  expect_param_grads(&r, &G.params, "grad.G.", L, false);
  if (gold_run_exec(&r)) {
    gold_run_check(&r);
    real *w_avg = params_find(&G.params, "mapping.w_avg")->data;
    ema_update(w_avg, gold_value(&r, mean), cfg.w_dim, gold_num(g, "w_avg_beta", 0.995));
    gold_compare(g, "out.w_avg", w_avg, cfg.w_dim);
  }
  gold_run_free(&r);
  generator_free(&G);
}
