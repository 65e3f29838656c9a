/* train_init.c: `prlx train --init`: transfer learning. Weights of another network, where name and
 * shape agree, as the start of a new run. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/gan/train_run.h"

static const StTensor *first_of(const StFile *f, const char *const *prefix, int n,
                                const char *name) {
  char full[160];
  for (int i = 0; i < n; i++) {
    snprintf(full, sizeof full, "%s%s", prefix[i], name);
    const StTensor *t = st_find(f, full);
    if (t) return t;
  }
  return NULL;
}

/* Tensors that grow with channels, labels, or width. What was there is kept and reads nothing new,
 * so that at first both networks do what they did: their new inputs weigh zero. New features come
 * as drawn: were they zero, too, neither side would ever have a gradient. New image channels start
 * at zero: as drawn they fill the image with noise that the discriminator sees at once, and the
 * generator forgets everything while it loses to it. */
static bool may_grow(const char *name) {
  static const char *const part[] = {".conv",  ".const",  ".skip.",     "torgb.",       "fromrgb.",
                                     "b4.fc.", "b4.out.", "mapping.fc", "mapping.w_avg"};
  for (int i = 0; i < COUNT_OF(part); i++)
    if (strstr(name, part[i])) return true;
  return false;
}

static bool is_image_channel(const char *name) {
  return strstr(name, "torgb.weight") || strstr(name, "torgb.bias");
}

/* Inputs that stay the last ones: the minibatch statistic behind the features of b4.conv. */
static int64_t init_tail(const char *name, Shape from) {
  return !strcmp(name, "b4.conv.weight") ? from.dim[1] - from.dim[0] : 0;
}

static bool init_fits(Shape from, Shape to) {
  bool ok = from.rank == to.rank;
  for (int i = 0; i < to.rank && ok; i++)
    ok = from.dim[i] <= to.dim[i] && (i < 2 || from.dim[i] == to.dim[i]);
  return ok;
}

/* Weights are stored before the gain 1/sqrt(inputs) of the equalised learning rate (Karras et al.
 * 2018), so a wider input needs them larger (demodulation takes any factor out again). */
static void init_grow(const char *name, const float *src, Shape from, real *dst, Shape to) {
  const int64_t inner = to.rank > 2 ? shape_numel(to) / (to.dim[0] * to.dim[1]) : 1,
                fi = from.rank > 1 ? from.dim[1] : 1, ti = to.rank > 1 ? to.dim[1] : 1,
                head = fi - init_tail(name, from);
  const double scale = sqrt((double)ti / (double)fi);
  for (int64_t o = 0; o < to.dim[0]; o++)
    for (int64_t k = 0; k < ti; k++)
      for (int64_t j = 0; j < inner; j++) {
        const int64_t was = k < head ? k : k >= ti - (fi - head) ? k - (ti - fi) : -1;
        real *x = &dst[(o * ti + k) * inner + j];
        if (o < from.dim[0])
          *x = was < 0 ? 0 : (real)(scale * src[(o * fi + was) * inner + j]);
        else if (is_image_channel(name))
          *x = 0;
      }
}

static Status init_take(const StFile *f, const StTensor *t, ParamEntry *x, int *grown, bool *taken,
                        Error *e) {
  const int64_t n = shape_numel(t->shape);
  *taken = false;
  if (!shape_eq(t->shape, x->shape) && !(may_grow(x->name) && init_fits(t->shape, x->shape)))
    return ST_OK;
  float *v = mem_alloc((size_t)n * sizeof *v);
  if (!v) return err_set(e, ST_NOMEM, "%s: out of memory for tensor %s", f->path, t->name);
  st_to_f32(t, v);
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(v[i])) {
      mem_free(v);
      return err_set(e, ST_NUMERIC,
                     "%s: tensor %s holds a value that is not finite; use another file", f->path,
                     t->name);
    }
  if (shape_eq(t->shape, x->shape))
    for (int64_t i = 0; i < n; i++) x->data[i] = v[i];
  else {
    init_grow(x->name, v, t->shape, x->data, x->shape);
    ++*grown;
  }
  mem_free(v);
  *taken = true;
  return ST_OK;
}

/* had [p->n]: which tensors have come, from this file or one before. */
static Status take_all(const StFile *f, const char *const *prefix, int n, const Params *p,
                       int *taken, int *grown, bool *had, Error *e) {
  for (int i = 0; i < p->n; i++) {
    const StTensor *t = first_of(f, prefix, n, p->entry[i].name);
    bool did = false;
    if (t) TRY(init_take(f, t, &p->entry[i], grown, &did, e));
    *taken += did;
    if (had) had[i] |= did;
  }
  return ST_OK;
}

/* What no file had, as far as a line holds the names; nothing where nothing came. */
static void say_left(const char *net, const Params *p, const bool *had, int taken) {
  size_t len = 0;
  for (int i = 0; i < p->n && taken; i++) {
    if (had[i]) continue;
    const size_t more = strlen(p->entry[i].name) + 1;
    if (!len) printf("init           %s, as drawn:", net);
    if (len + more > 250) {
      printf(" ...");
      len = 250;
      break;
    }
    printf(" %s", p->entry[i].name);
    len += more;
  }
  if (len) printf("\n");
}

/* had: of G and of D, as take_all has them. */
static Status init_one(Trainer *t, const char *path, int taken[2], bool *const had[2], Error *e) {
  static const char *const G[] = {"G.", "G_ema.", ""}, *const A[] = {"G_ema.", "G.", ""},
                           *const D[] = {"D.", "discriminator."};
  char file[PATH_LEN];
  StFile f;
  int grown = 0, g = 0, d = 0, a = 0, again = 0;
  const bool folder = os_is_folder(path);
  TRY(path_format(file, e, "%s%s", path, folder ? "/state.safetensors" : ""));
  if (folder && !file_exists(file)) TRY(path_join(file, path, "network.safetensors", e));
  TRY(st_open(&f, file, e));
  Status s = take_all(&f, G, COUNT_OF(G), &trainer_G(t)->params, &g, &grown, had[0], e);
  if (s != ST_OK) goto done;
  /* the average goes on from the average */
  s = take_all(&f, A, COUNT_OF(A), &trainer_G_ema(t)->params, &a, &again, NULL, e);
  if (s != ST_OK) goto done;
  s = take_all(&f, D, COUNT_OF(D), &trainer_D(t)->params, &d, &grown, had[1], e);
  if (s != ST_OK) goto done;
  if (!g && !d) {
    s = err_set(e, ST_INVALID,
                "%s: no tensor of it fits these networks; give a network of the same --z-dim and "
                "resolution, as wide or narrower",
                file);
    goto done;
  }
  if (!tool_quiet)
    printf("init           %s: %d of %d tensors of the generator, %d of %d of the discriminator; "
           "%d of them grown\n",
           file, g, trainer_G(t)->params.n, d, trainer_D(t)->params.n, grown);
  taken[0] += g;
  taken[1] += d;
done:
  st_close(&f);
  return s;
}

static Status init_list(Trainer *t, const char *list, char *text, int taken[2], bool *const had[2],
                        Error *e) {
  if (file_exists(list)) /* a comma may be part of a file's name */
    return init_one(t, list, taken, had, e);
  for (char *name = text, *end = text; *name; name = end) {
    end = name + strcspn(name, ",");
    if (*end) *end++ = 0;
    if (*name) TRY(init_one(t, name, taken, had, e));
  }
  return ST_OK;
}

/* What is held or multiplied has to have come: as drawn strengths are zero. had: see take_all. */
static Status init_noise_came(const Params *g, const bool *had, const char *list, Error *e) {
  for (int i = 0; i < g->n; i++)
    if (strstr(g->entry[i].name, ".noise_strength") && !had[i])
      return err_set(e, ST_INVALID,
                     "--init %s: no %s in it, which --freeze-noise and --noise-gain go on from; "
                     "give a generator of this resolution, or leave them out",
                     list, g->entry[i].name);
  return ST_OK;
}

static void gain_noise(const Params *p, double gain) {
  for (int i = 0; i < p->n; i++) {
    ParamEntry *x = &p->entry[i];
    if (strstr(x->name, ".noise_strength")) x->data[0] = (real)(gain * x->data[0]);
  }
}

Status run_init(TrainRun *r, const char *list, double noise_gain, bool freeze_noise, Error *e) {
  char text[OPTS_TEXT];
  int taken[2] = {0};
  if (strlen(list) >= sizeof text)
    return err_set(e, ST_INVALID,
                   "--init: the list is longer than %zu characters; give fewer files",
                   sizeof text - 1);
  snprintf(text, sizeof text, "%s", list);
  const Params *net[2] = {&trainer_G(r->t)->params, &trainer_D(r->t)->params};
  bool *mark = mem_alloc((size_t)(net[0]->n + net[1]->n) * sizeof *mark);
  if (!mark) return err_set(e, ST_NOMEM, "--init: out of memory for a list of tensors");
  bool *const had[2] = {mark, mark + net[0]->n};
  Status st = init_list(r->t, list, text, taken, had, e);
  if (st == ST_OK && !tool_quiet) {
    say_left("generator", net[0], had[0], taken[0]);
    say_left("discriminator", net[1], had[1], taken[1]);
  }
  if (st == ST_OK && (taken[0] || taken[1]) && (freeze_noise || noise_gain != 1))
    st = init_noise_came(net[0], had[0], list, e);
  mem_free(mark);
  TRY(st);
  if (!taken[0] && !taken[1])
    return err_set(
        e, ST_INVALID,
        "--init '%s' names no file; give a network, a run folder, or several joined by ','", list);
  if (!tool_quiet && taken[0] && !taken[1])
    printf("init           the discriminator starts fresh: add a run folder or a file with its "
           "weights\n");
  if (noise_gain != 1 && !tool_quiet)
    printf("init           noise strengths times %g\n", noise_gain);
  gain_noise(&trainer_G(r->t)->params, noise_gain);
  gain_noise(&trainer_G_ema(r->t)->params, noise_gain);
  trainer_refresh(r->t);
  return ST_OK;
}
