/* train_run.c: snapshots, sheets, metrics and the loop of `prlx train`; see train_run.h */
#include "tools/gan/train_run.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/jsonl.h"
#include "io/formats/path.h"
#include "io/formats/png.h"
#include "io/formats/text.h"
#include "models/store/netfile.h"
#include "tools/cli/folder.h"
#include "tools/view/report.h"

static Status run_path(const TrainRun *r, char out[PATH_LEN], const char *name, Error *e) {
  return path_join(out, r->dir, name, e);
}

/* ---- snapshots ---- */
typedef struct SaveCtx {
  StWriter *w;
} SaveCtx;

static DType file_type(TrainType t) {
  return t == TT_I64 ? DT_I64 : t == TT_F64 ? DT_F64 : sizeof(real) == 4 ? DT_F32 : DT_F64;
}

static Status save_tensor(void *ctx, const TrainTensor *x, Error *e) {
  return st_add(((SaveCtx *)ctx)->w, x->name, file_type(x->type), x->shape, x->data, e);
}

static Status add_state_meta(const TrainRun *r, StWriter *w, Error *e) {
  char key[80], value[OPTS_TEXT];
  TRY(st_add_meta(w, "format", "prlx-train-state-1", e));
  TRY(st_add_meta(w, "config", r->config, e));
  TRY(st_add_metaf(w, e, "data.crc", "%08x", r->data_crc));
  TRY(st_add_metaf(w, e, "data.n", "%lld", (long long)r->data->n));
  for (int i = 0; i < r->opts->n; i++) {
    const Opt *o = &r->opts->opt[i];
    if (!o->given || !opts_text(o, value, sizeof value)) continue;
    snprintf(key, sizeof key, "opt.%s", o->name);
    TRY(st_add_meta(w, key, value, e));
  }
  return ST_OK;
}

/* The snapshot that is there becomes the previous one: a second name for the same file, so that at
 * no moment there is none. Where a file system has no such links, there is no previous one. */
static Status keep_previous(TrainRun *r, const char *state, Error *e) {
  char previous[PATH_LEN];
  const bool damaged = r->from_previous;
  r->from_previous = false;
  TRY(run_path(r, previous, TRAIN_PREVIOUS, e));
  if (damaged || !file_exists(state)) return ST_OK;
  if (os_remove(previous) && errno != ENOENT)
    return err_set(e, ST_IO, "%s: cannot be replaced: %s; check the permissions of its folder",
                   previous, strerror(errno));
  if (os_link(state, previous) && !os_no_links(errno))
    return err_set(e, ST_IO, "%s: cannot be made: %s; check free space and permissions", previous,
                   strerror(errno));
  return ST_OK;
}

static Status save_state(TrainRun *r, Error *e) {
  char path[PATH_LEN];
  SaveCtx c = {0};
  TRY(run_path(r, path, "state.safetensors", e));
  TRY(st_writer_new(&c.w, e));
  Status s = add_state_meta(r, c.w, e);
  if (s != ST_OK) goto failed;
  s = trainer_enumerate(r->t, save_tensor, &c, e);
  if (s != ST_OK) goto failed;
  s = st_add(c.w, "tool.tick_sums", DT_F64, SHAPE1(sizeof r->sums / sizeof(double)), &r->sums, e);
  if (s != ST_OK) goto failed;
  s = st_add_checksums(c.w, e);
  if (s != ST_OK) goto failed;
  s = keep_previous(r, path, e);
  if (s != ST_OK) goto failed;
  return st_commit(c.w, path, e);
failed:
  st_writer_free(c.w);
  return s;
}

static Status save_network(TrainRun *r, const char *name, Error *e) {
  char path[PATH_LEN];
  TRY(run_path(r, path, name, e));
  TRY(trainer_fetch(r->t, e));
  return network_save_trained(path, trainer_G_ema(r->t), r->data->meta, r->data->nmeta,
                              trainer_state(r->t)->cur_nimg, trainer_config(r->t)->seed, r->config,
                              e);
}

/* state.safetensors and network.safetensors of the run, in this order, each atomic: the state is
 * the truth. */
static Status run_save(TrainRun *r, Error *e) {
  TRY(save_state(r, e));
  TRY(save_network(r, "network.safetensors", e));
  run_folder_done(r);
  return ST_OK;
}

typedef struct LoadCtx {
  const StFile *f;
  int used;
  bool scaled;
} LoadCtx;

static Status load_tensor(void *ctx, const TrainTensor *x, Error *e) {
  LoadCtx *c = ctx;
  const StTensor *t = st_find(c->f, x->name);
  char want[96], got[96];
  /* of a run in another precision: the factor begins anew */
  if (!t && !strcmp(x->name, "state.loss_scale")) return ST_OK;
  if (!t)
    return err_set(e, ST_FORMAT,
                   "%s: tensor %s is missing; this snapshot belongs to another configuration",
                   c->f->path, x->name);
  if (t->dtype != file_type(x->type) || !shape_eq(t->shape, x->shape))
    return err_set(
        e, ST_FORMAT,
        "%s: tensor %s is %s %s; expected %s %s; this snapshot belongs to another configuration",
        c->f->path, x->name, dtype_name(t->dtype), shape_str(t->shape, got),
        dtype_name(file_type(x->type)), shape_str(x->shape, want));
  memcpy(x->data, t->data, t->bytes);
  c->used++;
  c->scaled = c->scaled || !strcmp(x->name, "state.loss_scale");
  return ST_OK;
}

static bool sane_state(const TrainerState *s) {
  return s->cur_nimg >= 0 && s->batch_idx >= 0 && isfinite(s->p) && s->p >= 0 &&
         isfinite(s->pl_mean) && s->sampler_pos >= 0 && s->loss_scale[0] >= 1 &&
         s->loss_scale[0] <= 65536 && s->loss_scale[1] >= 0 &&
         exp2(round(log2(s->loss_scale[0]))) == s->loss_scale[0];
}

Status run_restore(TrainRun *r, const StFile *f, Error *e) {
  LoadCtx c = {f, 0, false};
  const char *crc = st_meta(f, "data.crc");
  char mine[16];
  snprintf(mine, sizeof mine, "%08x", r->data_crc);
  if (!crc || strcmp(crc, mine))
    return err_set(e, ST_INVALID,
                   "%s: was trained on data with checksum %s; %s has %s; give the same data set",
                   f->path, crc ? crc : "(none)", r->data->path, mine);
  TRY(trainer_enumerate(r->t, load_tensor, &c, e));
  if (!c.scaled && st_find(f, "state.loss_scale")) c.used++; /* not used in this precision */
  const StTensor *t = st_find(f, "tool.tick_sums");
  if (!t || t->dtype != DT_F64 || t->bytes != sizeof r->sums || c.used + 1 != f->ntensor ||
      !sane_state(trainer_state(r->t)))
    return err_set(e, ST_FORMAT,
                   "%s: the state is not complete or makes no sense (%d of %d tensors known); "
                   "start again without --resume",
                   f->path, c.used + 1, f->ntensor);
  memcpy(&r->sums, t->data, sizeof r->sums);
  trainer_refresh(r->t);
  return ST_OK;
}

uint32_t dataset_crc(const Dataset *d) {
  const size_t n = (size_t)d->n * (size_t)d->channels * (size_t)d->h * (size_t)d->w;
  const uint32_t c = crc32_numbers(0, d->images, n, sizeof *d->images);
  return d->labels ? crc32_numbers(c, d->labels, (size_t)d->n, sizeof *d->labels) : c;
}

/* ---- sample sheets ---- */
static Status sheet_write(const char *path, const real *img, int n, int channels, int res, int cols,
                          Error *e) {
  int rows = (n + cols - 1) / cols, w = cols * channels * res, h = rows * res;
  uint8_t *px = mem_alloc((size_t)w * (size_t)h);
  if (!px) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  for (int k = 0; k < n * channels; k++)
    for (int y = 0; y < res; y++)
      for (int x = 0; x < res; x++) {
        double v = rint(((double)img[((int64_t)k * res + y) * res + x] + 1) * 127.5);
        px[(int64_t)(k / (cols * channels) * res + y) * w + k % (cols * channels) * res + x] =
            (uint8_t)(v > 0 ? v < 255 ? v : 255 : 0);
      }
  Status s = png_write8(path, w, h, 1, px, e);
  mem_free(px);
  return s;
}

static Status sheet_plan(TrainRun *r, Error *e) {
  const Generator *G = trainer_G_ema(r->t);
  Graph *g = r->sheet_graph = graph_new();
  int n = SHEET_COLS * SHEET_ROWS, zd = G->cfg.z_dim;
  r->sheet_zs = mem_alloc((size_t)n * (size_t)zd * sizeof(real));
  if (!g || !r->sheet_zs) return err_set(e, ST_NOMEM, "sample sheet: out of memory");
  graph_half_range(g, backend_is_half(trainer_config(r->t)->backend));
  /* a stream of its own: sheets do not disturb training */
  Rng rng = {trainer_config(r->t)->seed, 1000, 0};
  rng_fill_normal(&rng, r->sheet_zs, (int64_t)n * zd);
  r->sheet_z = g_input(g, "z", SHAPE2(SHEET_BATCH, zd));
  r->sheet_c = G->cfg.c_dim > 0 ? g_input(g, "c", SHAPE2(SHEET_BATCH, G->cfg.c_dim)) : 0;
  Val ws = g_broadcast_ws(g, G, g_mapping(g, G, r->sheet_z, r->sheet_c, false), 1, -1);
  r->sheet_img =
      g_synthesis(g, G, ws, &(SynthOptions){.noise = NOISE_CONST, .frozen = false}, NULL);
  TRY(graph_status(g, e));
  return plan_new(g, 1, &r->sheet_img,
                  &(PlanOptions){.max_bytes = trainer_config(r->t)->max_bytes,
                                 .backend = trainer_config(r->t)->backend},
                  &r->sheet_plan, e);
}

static Status fakes_path(const TrainRun *r, char path[PATH_LEN], Error *e) {
  char name[64];
  snprintf(name, sizeof name, "fakes%09.3f.png", (double)trainer_state(r->t)->cur_nimg / 1000);
  return run_path(r, path, name, e);
}

static Status write_fakes(TrainRun *r, Error *e) {
  const GenConfig *c = &trainer_G_ema(r->t)->cfg;
  int n = SHEET_COLS * SHEET_ROWS;
  size_t one = (size_t)c->img_channels * (size_t)c->img_resolution * (size_t)c->img_resolution,
         zn = (size_t)SHEET_BATCH * (size_t)c->z_dim;
  char path[PATH_LEN];
  TRY(fakes_path(r, path, e));
  real *img = mem_alloc((size_t)n * one * sizeof(real));
  if (!img) return err_set(e, ST_NOMEM, "sample sheet: out of memory");
  Status s = ST_OK;
  for (int b = 0; b < n; b += SHEET_BATCH) {
    memcpy(plan_data(r->sheet_plan, r->sheet_z), r->sheet_zs + (size_t)(b / SHEET_BATCH) * zn,
           zn * sizeof(real));
    if (r->sheet_c) { /* a row per label, in turn */
      real *lab = plan_data(r->sheet_plan, r->sheet_c);
      memset(lab, 0, (size_t)SHEET_BATCH * (size_t)c->c_dim * sizeof(real));
      for (int k = 0; k < SHEET_BATCH; k++) lab[k * c->c_dim + (b + k) / SHEET_COLS % c->c_dim] = 1;
    }
    s = plan_run(r->sheet_plan, e);
    if (s != ST_OK) goto done;
    const real *fakes = NULL;
    s = plan_read(r->sheet_plan, r->sheet_img, &fakes, e);
    if (s != ST_OK) goto done;
    memcpy(img + (size_t)b * one, fakes, SHEET_BATCH * one * sizeof(real));
  }
  s = sheet_write(path, img, n, c->img_channels, c->img_resolution, SHEET_COLS, e);
done:
  mem_free(img);
  return s;
}

static Status write_reals(TrainRun *r, Error *e) {
  const Dataset *d = r->data;
  int n = (int)PRLX_MIN(d->n, SHEET_COLS * SHEET_ROWS);
  size_t one = (size_t)d->channels * (size_t)d->h * (size_t)d->w;
  char path[PATH_LEN];
  TRY(run_path(r, path, "reals.png", e));
  real *img = mem_alloc((size_t)n * one * sizeof(real));
  if (!img) return err_set(e, ST_NOMEM, "sample sheet: out of memory");
  for (int k = 0; k < n; k++) /* evenly spread over the data set */
    for (size_t i = 0; i < one; i++)
      img[(size_t)k * one + i] = (real)d->images[(size_t)(k * d->n / n) * one + i];
  Status s = sheet_write(path, img, n, d->channels, d->h, SHEET_COLS, e);
  mem_free(img);
  return s;
}

/* ---- ticks ---- */
static void add_step(TickSums *s, const TrainMetrics *m, double seconds) {
  s->iterations++;
  s->g_loss += m->g_loss;
  s->d_loss += m->d_loss_fake + m->d_loss_real;
  s->score_real += m->score_real;
  s->score_fake += m->score_fake;
  s->sign_real += m->sign_real;
  if (m->ran[PH_DREG]) s->r1 += m->r1_penalty, s->r1_n++;
  if (m->ran[PH_GREG]) s->pl += m->pl_penalty, s->pl_n++;
  s->bad_gradients += (double)m->bad_gradients;
  s->seconds += seconds;
  s->total_seconds += seconds;
  for (int k = 0; k < PH_COUNT; k++)
    if (m->ran[k]) s->phase_seconds[k] += m->seconds[k];
}

static double tick_speed(const TrainRun *r) { /* seconds per kimg of this tick */
  double n = (double)trainer_state(r->t)->cur_nimg - r->sums.start_nimg;
  return n > 0 ? r->sums.seconds / n * 1000 : NAN;
}

static void print_tick(const TrainRun *r) {
  const TickSums *s = &r->sums;
  const TrainerState *st = trainer_state(r->t);
  double k = PRLX_MAX(s->iterations, 1), kimg = (double)st->cur_nimg / 1000, sk = tick_speed(r);
  char r1[16] = "-", pl[40] = "-";
  if (s->r1_n > 0) snprintf(r1, sizeof r1, "%.3g", s->r1 / s->r1_n);
  if (s->pl_n > 0) snprintf(pl, sizeof pl, "%.3g (mean %.3g)", s->pl / s->pl_n, st->pl_mean);
  printf("tick %-4.0f kimg %-8.3f time %-10s s/kimg %-7.4g loss G %.3f D %.3f  real %+.2f fake "
         "%+.2f  r_t %+.2f p %.3f  r1 %s  pl %s  left %s\n",
         s->tick, kimg, human_time(s->total_seconds), sk, s->g_loss / k, s->d_loss / k,
         s->score_real / k, s->score_fake / k, st->r_t, st->p, r1, pl,
         human_time(PRLX_MAX(r->plan.kimg - kimg, 0) * sk));
  fflush(stdout);
}

static Status log_tick(TrainRun *r, Error *e) {
  const TickSums *s = &r->sums;
  const TrainerState *st = trainer_state(r->t);
  double k = PRLX_MAX(s->iterations, 1);
  Jsonl *j = &r->log;
  jsonl_begin(j);
  jsonl_int(j, "tick", (int64_t)s->tick);
  jsonl_int(j, "nimg", st->cur_nimg);
  jsonl_num(j, "kimg", (double)st->cur_nimg / 1000);
  jsonl_num(j, "g_loss", s->g_loss / k);
  jsonl_num(j, "d_loss", s->d_loss / k);
  jsonl_num(j, "score_real", s->score_real / k);
  jsonl_num(j, "score_fake", s->score_fake / k);
  jsonl_num(j, "sign_real", s->sign_real / k);
  jsonl_num(j, "r_t", st->r_t);
  jsonl_num(j, "p", st->p);
  jsonl_num(j, "r1", s->r1_n > 0 ? s->r1 / s->r1_n : NAN);
  jsonl_num(j, "pl", s->pl_n > 0 ? s->pl / s->pl_n : NAN);
  jsonl_num(j, "pl_mean", st->pl_mean);
  jsonl_int(j, "bad_gradients", (int64_t)s->bad_gradients);
  const Backend *b = trainer_config(r->t)->backend;
  if (b && b->precision == PREC_F16) jsonl_num(j, "loss_scale", st->loss_scale[0]);
  jsonl_num(j, "seconds", s->total_seconds);
  jsonl_num(j, "s_per_kimg", tick_speed(r));
  for (int i = 0; i < PH_COUNT; i++) {
    char key[32];
    snprintf(key, sizeof key, "s_%s", train_phase_name[i]);
    jsonl_num(j, key, s->phase_seconds[i]);
  }
  return jsonl_end(j, e);
}

static Status end_tick(TrainRun *r, bool last, Error *e) {
  TickSums *s = &r->sums;
  bool lead = comm_lead(r->comm);
  if (lead && !tool_quiet) print_tick(r);
  if (lead) TRY(log_tick(r, e));
  if (lead && s->bad_gradients > 0)
    fprintf(stderr,
            "prlx train: %.0f gradient values were not finite in this tick and were replaced\n",
            s->bad_gradients);
  double total = s->total_seconds, tick = s->tick + 1;
  *s = (TickSums){
      .tick = tick, .total_seconds = total, .start_nimg = (double)trainer_state(r->t)->cur_nimg};
  if (!lead || (!last && (int64_t)tick % r->plan.snap_ticks)) return ST_OK;
  /* before the state: who resumes from that does not come by here again */
  if (r->plan.keep && !last) {
    char name[64];
    snprintf(name, sizeof name, "network-%06g.safetensors",
             (double)(int64_t)tick * r->plan.tick_kimg);
    TRY(save_network(r, name, e));
  }
  TRY(run_save(r, e));
  TRY(write_fakes(r, e));
  return report_training(r->dir, r->config, e);
}

/* ---- start, loop, end ---- */
Status run_start(TrainRun *r, Error *e) {
  char path[PATH_LEN];
  TRY(run_path(r, path, "metrics.jsonl", e));
  double done = (double)trainer_state(r->t)->cur_nimg;
  if (file_exists(path)) TRY(jsonl_truncate_after(path, "nimg", done > 0 ? done : -1, e));
  TRY(jsonl_open(&r->log, path, e));
  TRY(sheet_plan(r, e));
  TRY(write_reals(r, e));
  if (done == 0) TRY(write_fakes(r, e));
  /* The process may have died between the files of a snapshot, which the state is the first of. */
  if (done > 0) TRY(save_network(r, "network.safetensors", e));
  TRY(fakes_path(r, path, e));
  if (done > 0 && r->sums.iterations == 0 && !file_exists(path)) TRY(write_fakes(r, e));
  return ST_OK;
}

/* What falls due after an iteration: the tick that ends with it, or a snapshot in between.
 * A process of several gets here what became of the others: a full disk of one, or Ctrl-C in one,
 * is that of all. */
static Status run_step(TrainRun *r, Progress *bar, bool last, double *saved, int *stop, Error *e) {
  const TrainerState *st = trainer_state(r->t);
  const double tick_images = (double)PRLX_MAX((int64_t)(r->plan.tick_kimg * 1000 + 0.5), 1);
  Status s = ST_OK;
  *stop = tool_interrupted;
  if (last || (double)st->cur_nimg >= r->sums.start_nimg + tick_images) {
    progress_clear(bar);
    s = end_tick(r, last, e);
  } else if (comm_lead(r->comm) && time_now() - *saved > r->plan.save_minutes * 60) {
    s = run_save(r, e);
    *saved = time_now();
  }
  return comm_agree(r->comm, s, stop, e);
}

static Status run_stop(TrainRun *r, Progress *bar, Error *e) {
  const double kimg = (double)trainer_state(r->t)->cur_nimg / 1000;
  progress_clear(bar);
  TRY(comm_agree(r->comm, comm_lead(r->comm) ? run_save(r, e) : ST_OK, NULL, e));
  if (r->comm) r->comm->agreed = true;
  return err_set(e, ST_INTERRUPTED,
                 "%s: stopped at %.3f kimg and saved; go on with: prlx train --out %s --resume",
                 r->dir, kimg, r->dir);
}

/* An iteration that takes longer than this once it was asked to end is broken off. */
static const double patience = 2;

bool run_impatient(void *unused) {
  static double since;
  if (!tool_interrupted) return false;
  const double now = time_now();
  if (since == 0) since = now;
  return now - since > patience;
}

/* An iteration broken off. Its beginning was kept: as after a whole one. Else the last snapshot
 * stays what it is. */
static Status run_break_off(TrainRun *r, Progress *bar, Error *e) {
  const double kimg = (double)trainer_state(r->t)->cur_nimg / 1000;
  char path[PATH_LEN];
  if (trainer_whole(r->t)) return run_stop(r, bar, e);
  progress_clear(bar);
  TRY(run_path(r, path, "state.safetensors", e));
  return err_set(e, ST_INTERRUPTED, "%s: stopped within a long iteration at %.3f kimg; %s", r->dir,
                 kimg,
                 file_exists(path) ? "the last snapshot is whole: go on with --resume"
                                   : "there is no snapshot yet, nothing is kept");
}

/* Before and after an iteration: counting goes on until all phases of a tick can have run. */
static Status run_ranges(TrainRun *r, bool after, Error *e) {
  const TrainConfig *c = trainer_config(r->t);
  const int until = PRLX_MAX(1, PRLX_MAX(c->g_reg_interval, c->d_reg_interval));
  char path[PATH_LEN];
  TextFile t;
  if (!r->plan.ranges || !comm_lead(r->comm)) return ST_OK;
  if (!after) return r->sums.iterations == 0 ? trainer_ranges(r->t, true, e) : ST_OK;
  if (r->sums.iterations > until) return ST_OK;
  TRY(run_path(r, path, "ranges.tsv", e));
  TRY(text_begin(&t, path, e));
  trainer_ranges_report(r->t, t.stream);
  TRY(text_commit(&t, path, e));
  return r->sums.iterations == until ? trainer_ranges(r->t, false, e) : ST_OK;
}

Status run_loop(TrainRun *r, Error *e) {
  const TrainerState *st = trainer_state(r->t);
  TrainMetrics m;
  Progress bar;
  double saved = time_now();
  const int64_t end = (int64_t)ceil(r->plan.kimg * 1000 - 1e-6);
  progress_start(&bar, "train", "kimg", r->plan.kimg);
  progress_skip(&bar, (double)st->cur_nimg / 1000);
  while (st->cur_nimg < end) {
    const double t0 = time_now();
    int stop;
    TRY(run_ranges(r, false, e));
    const Status s = trainer_step(r->t, &m, e);
    if (s == ST_INTERRUPTED) return run_break_off(r, &bar, e);
    TRY(s);
    add_step(&r->sums, &m, time_now() - t0);
    TRY(run_ranges(r, true, e));
    const bool last = st->cur_nimg >= end;
    progress_update(&bar, (double)st->cur_nimg / 1000, "G %.2f D %.2f p %.3f", m.g_loss,
                    m.d_loss_fake + m.d_loss_real, st->p);
    TRY(run_step(r, &bar, last, &saved, &stop, e));
    if (stop && !last) return run_stop(r, &bar, e);
  }
  progress_end(&bar);
  return ST_OK;
}

void run_close(TrainRun *r) {
  jsonl_close(&r->log);
  plan_free(r->sheet_plan);
  if (r->sheet_graph) graph_free(r->sheet_graph);
  mem_free(r->sheet_zs);
}
