/* test_prlx.c: prlx.h as a program sees it that links the library: results equal those of the
 * inside, options that grow, cancellation, what is refused, two threads at once, failing memory. */
#include <math.h>
#include <pthread.h>
#include <unistd.h>
#include "core/threads.h"
#include "models/api/api.h"
#include "test/test.h"

#define NETWORK "test/golden/generator_uncond.safetensors"
#define CLASSES "test/golden/generator_cond.safetensors"
static char dir[] = "/tmp/prlx_api_XXXXXX", path[300];
static prlx_error e;
static prlx_network *net;
static prlx_vgg *vgg;
static float target[3 * 256 * 256];

static const char *in_dir(const char *name) {
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

static size_t image_size(void) {
  const size_t side = (size_t)prlx_network_resolution(net);
  return (size_t)prlx_network_channels(net) * side * side;
}

/* ---- models ---- */
static void test_models(void) {
  prlx_network *other;
  CHECK(!strcmp(prlx_version(), PRLX_VERSION), "version %s", prlx_version());
  CHECK(prlx_network_load(in_dir("none.safetensors"), &other, &e) == PRLX_IO && !other &&
            strstr(e.msg, "none.safetensors"),
        "no such file: %s", e.msg);
  CHECK(prlx_network_load(in_dir("none.safetensors"), &other, NULL) == PRLX_IO, "no error wanted");
  CHECK(prlx_network_load("data/vgg16_caffe.safetensors", &other, &e) == PRLX_FORMAT && !other,
        "not a network: %s", e.msg);
  CHECK(!prlx_network_load(NULL, &other, &e), "the bundled network: %s", e.msg);
  CHECK(prlx_network_resolution(other) == 64 && prlx_network_channels(other) == 1 &&
            prlx_network_classes(other) == 0 && prlx_network_w_dim(other) == 128 &&
            prlx_network_z_dim(other) == 128,
        "its sizes");
  CHECK(prlx_network_meta(other, "channels") && !prlx_network_meta(other, "no such key"), "meta");
  prlx_network_free(other);
  prlx_network_free(NULL);
  CHECK(!prlx_network_load(NETWORK, &net, &e) && e.code == PRLX_OK && !e.msg[0], "%s", e.msg);
  CHECK(!prlx_vgg_load(NULL, NULL, &vgg, &e) && strstr(prlx_vgg_name(vgg), "Caffe"), "%s", e.msg);
}

/* ---- generation ---- */
static bool stop_after_one(void *context, int64_t done, int64_t n) {
  *(int64_t *)context = n;
  return done < 1;
}

static void test_generate(void) {
  enum { N = 3 };
  const uint32_t seeds[N] = {7, 0, 7};
  const size_t per = image_size(), bytes = per * sizeof(float);
  float *a = malloc(N * bytes), *b = malloc(N * bytes);
  prlx_generate_options o;
  int64_t done = -1, told = 0;
  CHECK(!prlx_generate(net, N, seeds, NULL, a, &done, &e) && done == N, "%s", e.msg);
  CHECK(!memcmp(a, a + 2 * per, bytes) && memcmp(a, a + per, bytes), "a seed is an image");
  prlx_generate_defaults(&o, sizeof o);
  o.batch = 1;
  CHECK(!prlx_generate(net, N, seeds, &o, b, NULL, &e) && !memcmp(a, b, N * bytes),
        "any batch, the same bits: %s", e.msg);
  memcpy(target, a, bytes);
  /* a caller that was built with fewer fields: the rest are defaults */
  prlx_generate_defaults(&o, offsetof(prlx_generate_options, noise));
  o.psi = 1;
  o.label = 12345;
  CHECK(o.size == offsetof(prlx_generate_options, noise), "size is kept");
  CHECK(!prlx_generate(net, N, seeds, &o, b, NULL, &e) && !memcmp(a, b, N * bytes),
        "short options: %s", e.msg);
  prlx_generate_defaults(&o, sizeof o);
  o.batch = 1;
  o.progress = stop_after_one;
  o.context = &told;
  CHECK(prlx_generate(net, N, seeds, &o, b, &done, &e) == PRLX_INTERRUPTED && done == 1 &&
            told == N && !memcmp(a, b, bytes),
        "stopped after one: %s", e.msg);
  prlx_generate_defaults(&o, sizeof o);
  o.size = 0;
  CHECK(prlx_generate(net, 1, seeds, &o, b, NULL, &e) == PRLX_INVALID, "no size: %s", e.msg);
  CHECK(prlx_generate(net, 0, seeds, NULL, b, NULL, &e) == PRLX_INVALID, "no image: %s", e.msg);
  prlx_generate_defaults(&o, sizeof o);
  o.noise = (prlx_noise)9;
  CHECK(prlx_generate(net, 1, seeds, &o, b, NULL, &e) == PRLX_INVALID, "noise: %s", e.msg);
  free(a);
  free(b);
}

static void test_classes(void) {
  prlx_network *n;
  prlx_generate_options o;
  const uint32_t seed = 1;
  static float img[2][3 * 256 * 256];
  if (prlx_network_load(CLASSES, &n, &e)) {
    CHECK(false, "%s", e.msg);
    return;
  }
  CHECK(prlx_network_classes(n) > 1, "classes");
  CHECK(prlx_generate(n, 1, &seed, NULL, img[0], NULL, &e) == PRLX_INVALID &&
            strstr(e.msg, "choose a label"),
        "%s", e.msg);
  prlx_generate_defaults(&o, sizeof o);
  for (o.label = 0; o.label < 2; o.label++)
    CHECK(!prlx_generate(n, 1, &seed, &o, img[o.label], NULL, &e), "%s", e.msg);
  CHECK(memcmp(img[0], img[1], sizeof img[0]), "classes differ");
  o.label = 99;
  CHECK(prlx_generate(n, 1, &seed, &o, img[0], NULL, &e) == PRLX_INVALID, "%s", e.msg);
  prlx_network_free(n);
}

/* ---- projection ---- */
typedef struct Seen {
  int calls;
  int stop_at; /* step */
  int frames;
  int finished;
  bool trace;
  double last;
} Seen;

static bool watch(void *context, const prlx_project_progress *p) {
  Seen *s = context;
  s->calls++;
  CHECK(p->n == 3 && p->batch >= 1 && p->bytes > 0 && p->flop > 0, "progress");
  CHECK((p->image < 0) == (p->step == 0) && p->image < 3, "an image from the first step on");
  CHECK((p->trace != NULL) == (s->trace && p->image >= 0 && !p->finished), "trace when asked for");
  if (p->finished) s->finished++;
  if (p->pixels && !p->finished) s->frames++;
  if (p->image >= 0) s->last = p->lpips;
  return p->step != s->stop_at;
}

static void project_options(prlx_project_options *o, Seen *s) {
  *s = (Seen){.stop_at = -1};
  prlx_project_defaults(o, sizeof *o);
  o->steps = 3;
  o->w_samples = 100;
  o->batch = 2;
  o->progress = watch;
  o->context = s;
}

/* The inside, one image alone, gives the same bits. */
static void test_inside(const prlx_projection *r) {
  ProjectOptions o = project_defaults();
  WStats ws = {0};
  Projector *p = NULL;
  Error in;
  uint64_t id = 0;
  float *img = malloc(image_size() * sizeof *img);
  double lpips;
  o.num_steps = 3;
  Status s = project_w_stats(&net->net.G, NULL, 100, 123, &ws, &in);
  if (s == ST_OK) s = projector_new(&net->net.G, &vgg->vgg, &ws, &o, 1, &p, &in);
  if (s == ST_OK) s = projector_start(p, target + image_size(), &id, &in);
  for (int k = 0; k < 3 && s == ST_OK; k++) s = projector_step(p, NULL, &in);
  if (s == ST_OK) s = projector_render(p, false, img, &lpips, &in);
  CHECK(s == ST_OK, "%s", in.msg);
  CHECK(!memcmp(img, prlx_projection_image(r, 1), image_size() * sizeof *img) &&
            lpips == prlx_projection_lpips(r, 1),
        "the image of a projector alone");
  CHECK(!memcmp(ws.w_avg, prlx_projection_w_avg(r),
                (size_t)prlx_network_w_dim(net) * sizeof(float)) &&
            ws.w_std == prlx_projection_w_std(r),
        "statistics of W");
  projector_free(p);
  mem_free(ws.w_avg);
  free(img);
}

static void test_project(void) {
  const size_t per = image_size();
  prlx_project_options o;
  prlx_projection *r, *again;
  Seen s;
  for (size_t i = 0; i < 2 * per; i++)
    target[per + i] = target[i % per] * (i < per ? -0.5f : 0.25f);
  project_options(&o, &s);
  o.frames = 2;
  CHECK(!prlx_project(net, vgg, 3, target, &o, &r, &e), "%s", e.msg);
  CHECK(r && prlx_projection_done(r) == 3 && prlx_projection_steps(r, 2) == 3, "all done");
  CHECK(s.calls == 2 + 3 * 4 && s.finished == 3 && s.frames == 6, "%d calls, %d images, %d frames",
        s.calls, s.finished, s.frames);
  CHECK(s.last == prlx_projection_lpips(r, 2), "last distance");
  test_inside(r);
  CHECK(isnan(prlx_projection_inside(r, 0)) &&
            prlx_projection_w_size(r) == prlx_network_w_dim(net) && prlx_projection_noise(r, 2) &&
            prlx_projection_w_distance(r, 0) > 0,
        "what else is known of a projection");
  /* stopped in the first batch: its images are there as they stand */
  project_options(&o, &s);
  s.stop_at = 2;
  CHECK(prlx_project(net, vgg, 3, target, &o, &again, &e) == PRLX_INTERRUPTED, "%s", e.msg);
  CHECK(again && prlx_projection_done(again) == 2 && prlx_projection_steps(again, 1) == 2,
        "two after two steps");
  prlx_projection_free(again);
  s.stop_at = 0;
  CHECK(prlx_project(net, vgg, 3, target, &o, &again, &e) == PRLX_INTERRUPTED && !again,
        "stopped before the first step: nothing");
  prlx_projection_free(r);
}

/* The fast solver with a focus, through the public header: the bits of the inside. */
static void test_project_fast(void) {
  const size_t per = image_size(), side = (size_t)prlx_network_resolution(net);
  prlx_project_options o;
  prlx_projection *r, *alone;
  Seen s;
  float *region = calloc(3 * side * side, sizeof *region);
  for (size_t i = 0; i < 3 * side * side; i++) region[i] = i / side % side > side / 2;
  project_options(&o, &s);
  prlx_project_defaults_for(PRLX_SOLVER_FAST, &o, sizeof o);
  o.steps = 4;
  o.pixel_steps = 4;
  o.w_samples = 100;
  o.batch = 3;
  o.progress = watch;
  o.context = &s;
  o.trace = s.trace = true;
  o.regions = region;
  o.focus = 0.5;
  CHECK(!prlx_project(net, vgg, 3, target, &o, &r, &e), "%s", e.msg);
  CHECK(r && prlx_projection_inside(r, 2) > 0 && prlx_projection_outside(r, 2) > 0 &&
            !prlx_projection_noise(r, 0) && s.finished == 3,
        "regions and held maps");
  o.trace = false;
  o.progress = NULL;
  o.regions = region + side * side;
  CHECK(!prlx_project(net, vgg, 1, target + per, &o, &alone, &e), "%s", e.msg);
  CHECK(alone && !memcmp(prlx_projection_image(alone, 0), prlx_projection_image(r, 1), per * 4),
        "an image alone is the same");
  prlx_projection_free(alone);
  prlx_projection_free(r);
  o.regions = NULL;
  CHECK(prlx_project(net, vgg, 1, target, &o, &r, &e) == PRLX_INVALID && !r, "%s", e.msg);
  free(region);
}

static void test_project_refuses(void) {
  prlx_project_options o;
  prlx_projection *r;
  Seen s;
  project_options(&o, &s);
  o.max_bytes = 1 << 20;
  CHECK(prlx_project(net, vgg, 3, target, &o, &r, &e) == PRLX_NOMEM && !r && s.calls == 0, "%s",
        e.msg);
  project_options(&o, &s);
  o.steps = 0;
  CHECK(prlx_project(net, vgg, 3, target, &o, &r, &e) == PRLX_INVALID && !r, "%s", e.msg);
  project_options(&o, &s);
  o.vgg = (prlx_vgg_channels)7;
  CHECK(prlx_project(net, vgg, 3, target, &o, &r, &e) == PRLX_INVALID && !r, "%s", e.msg);
  project_options(&o, &s);
  o.label = 0;
  CHECK(prlx_project(net, vgg, 3, target, &o, &r, &e) == PRLX_INVALID && !r, "%s", e.msg);
  /* the third is not a number: the batch of the first two stays */
  const float kept = target[2 * image_size()];
  target[2 * image_size()] = NAN;
  project_options(&o, &s);
  CHECK(prlx_project(net, vgg, 3, target, &o, &r, &e) == PRLX_NUMERIC && r &&
            prlx_projection_done(r) == 2,
        "%s", e.msg);
  prlx_projection_free(r);
  target[2 * image_size()] = kept;
}

/* ---- two calls at once ---- */
static void *generate_some(void *out) {
  uint32_t seeds[6];
  for (uint32_t i = 0; i < 6; i++) seeds[i] = i;
  for (int k = 0; k < 3; k++) prlx_generate(net, 6, seeds, NULL, out, NULL, NULL);
  return NULL;
}

static void test_two_threads(void) {
  const size_t bytes = 6 * image_size() * sizeof(float);
  float *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes);
  pthread_t other;
  prlx_threads(3);
  generate_some(a);
  CHECK(!pthread_create(&other, NULL, generate_some, b), "thread");
  generate_some(c);
  pthread_join(other, NULL);
  CHECK(!memcmp(a, b, bytes) && !memcmp(a, c, bytes), "two calls at once give what one gives");
  prlx_threads(0);
  free(a);
  free(b);
  free(c);
}

/* Other bits near those of float where the CPU has it, refused where not; off again: as before. */
static void test_bf16(void) {
  const size_t n = 6 * image_size(), bytes = n * sizeof(float);
  float *a = malloc(bytes), *b = malloc(bytes);
  double most = 0;
  generate_some(a);
  const prlx_status s = prlx_bf16(true, &e);
  CHECK(s == PRLX_OK || (s == PRLX_INVALID && strstr(e.msg, "bf16")), "%s", e.msg);
  generate_some(b);
  for (size_t i = 0; i < n; i++) most = PRLX_MAX(most, fabs((double)a[i] - (double)b[i]));
  CHECK(s == PRLX_OK ? most > 0 && most < 0.3 : most == 0, "bf16 %d: up to %g away", s, most);
  CHECK(!prlx_bf16(false, &e), "%s", e.msg);
  generate_some(b);
  CHECK(!memcmp(a, b, bytes), "float again");
  free(a);
  free(b);
}

/* ---- files ---- */
static void test_datasets(void) {
  prlx_dataset *d, *back;
  CHECK(prlx_dataset_new(0, 1, 8, 8, false, &d, &e) == PRLX_INVALID && !d, "%s", e.msg);
  CHECK(!prlx_dataset_new(2, 1, 8, 8, true, &d, &e), "%s", e.msg);
  for (int i = 0; i < 128; i++) prlx_dataset_images(d)[i] = (float)i / 64 - 1;
  prlx_dataset_labels(d)[1] = 1;
  CHECK(!prlx_dataset_set_meta(d, "channels", "chi", &e), "%s", e.msg);
  CHECK(!prlx_dataset_save(d, in_dir("d.safetensors"), &e), "%s", e.msg);
  CHECK(!prlx_dataset_open(path, &back, &e), "%s", e.msg);
  CHECK(prlx_dataset_count(back) == 2 && prlx_dataset_channels(back) == 1 &&
            prlx_dataset_height(back) == 8 && prlx_dataset_width(back) == 8,
        "sizes");
  CHECK(!memcmp(prlx_dataset_images(d), prlx_dataset_images(back), 128 * sizeof(float)) &&
            prlx_dataset_labels(back)[1] == 1 &&
            !strcmp(prlx_dataset_meta(back, "channels"), "chi"),
        "content");
  CHECK(!strcmp(prlx_dataset_name(back, 0), "") && !strcmp(prlx_dataset_name(back, 99), ""),
        "no names");
  prlx_dataset_free(back);
  CHECK(prlx_dataset_open(in_dir("nothing"), &back, &e) == PRLX_IO && !back, "%s", e.msg);
  CHECK(!prlx_png_write(in_dir("p.png"), 8, 8, prlx_dataset_images(d), &e), "%s", e.msg);
  const char *png = path;
  CHECK(!prlx_dataset_from_png(1, &png, 8, &back, &e), "%s", e.msg);
  CHECK(fabsf(prlx_dataset_images(back)[60] - prlx_dataset_images(d)[60]) < 1 / 120.f &&
            !strcmp(prlx_dataset_name(back, 0), "p.png"),
        "a picture comes back");
  prlx_dataset_free(back);
  CHECK(prlx_dataset_from_png(1, &png, 9, &back, &e) == PRLX_FORMAT && !back, "%s", e.msg);
  CHECK(prlx_png_write(in_dir("p.png"), 0, 8, prlx_dataset_images(d), &e) == PRLX_INVALID, "%s",
        e.msg);
  prlx_dataset_free(d);
}

/* What a caller forgot is refused by its name; nothing is made. */
static void test_missing(void) {
  static const double affine[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  static const int64_t dim[4] = {2, 2, 2, 1};
  float v[8] = {0};
  double p[2];
  uint32_t seed = 0;
  prlx_dataset *d = NULL;
  prlx_volume *vol = NULL;
  prlx_projection *r = NULL;
  prlx_trainer *t = NULL;
  prlx_plan *plan = NULL;
#define REFUSED(call, name) \
  CHECK((call) == PRLX_INVALID && strstr(e.msg, name " is NULL"), "%s", e.msg)
  REFUSED(prlx_dataset_new(1, 1, 8, 8, false, NULL, &e), "out");
  REFUSED(prlx_dataset_open(NULL, &d, &e), "path");
  REFUSED(prlx_dataset_from_png(1, NULL, 8, &d, &e), "paths");
  REFUSED(prlx_dataset_save(NULL, in_dir("n"), &e), "prlx_dataset_save: d");
  REFUSED(prlx_dataset_set_meta(NULL, "a", "b", &e), "d");
  REFUSED(prlx_png_write(in_dir("n"), 8, 8, NULL, &e), "image");
  REFUSED(prlx_volume_read(NULL, &vol, &e), "path");
  REFUSED(prlx_volume_write(in_dir("n"), NULL, dim, affine, "", &e), "data");
  REFUSED(prlx_volume_write(in_dir("n"), v, NULL, affine, "", &e), "dim");
  REFUSED(prlx_volume_write(in_dir("n"), v, dim, NULL, "", &e), "affine");
  REFUSED(prlx_network_load(NULL, NULL, &e), "out");
  REFUSED(prlx_generate(NULL, 1, &seed, NULL, v, NULL, &e), "net");
  REFUSED(prlx_project(NULL, NULL, 1, v, NULL, &r, &e), "net");
  REFUSED(prlx_classify(NULL, 1, 1, 2, 2, v, p, &e), "c");
  REFUSED(prlx_lpips(NULL, 1, 1, 2, v, v, p, &e), "vgg");
  REFUSED(prlx_trainer_new(NULL, NULL, &t, &e), "d");
  REFUSED(prlx_trainer_step(NULL, NULL, &e), "t");
  REFUSED(prlx_graph_status(NULL, &e), "g");
  REFUSED(prlx_plan_new(NULL, 0, NULL, &plan, &e), "g");
  REFUSED(prlx_plan_run(NULL, &e), "p");
  CHECK(!d && !vol && !r && !t && !plan, "nothing made");
#undef REFUSED
}

static void test_volumes(void) {
  const int64_t dim[4] = {3, 2, 2, 1};
  const double affine[16] = {0.5, 0, 0, -1, 0, 0.5, 0, -2, 0, 0, 2, -3, 0, 0, 0, 1};
  float data[12];
  prlx_volume *v;
  for (int i = 0; i < 12; i++) data[i] = 0.001f * (float)i;
  CHECK(!prlx_volume_write(in_dir("v.nii.gz"), data, dim, affine, "test", &e), "%s", e.msg);
  CHECK(!prlx_volume_read(path, &v, &e), "%s", e.msg);
  CHECK(!memcmp(prlx_volume_dim(v), dim, sizeof dim) &&
            !memcmp(prlx_volume_affine(v), affine, sizeof affine) &&
            !memcmp(prlx_volume_data(v), data, sizeof data) && !prlx_volume_warning(v)[0],
        "a volume comes back");
  prlx_volume_free(v);
  CHECK(prlx_volume_read(in_dir("p.png"), &v, &e) != PRLX_OK && !v, "%s", e.msg);
}

/* ---- judges ---- */
static void test_judges(void) {
  double d[3];
  const int side = prlx_network_resolution(net), channels = prlx_network_channels(net);
  CHECK(!prlx_lpips(vgg, 2, channels, side, target, target + image_size(), d, &e) && d[0] > 0, "%s",
        e.msg);
  CHECK(!prlx_lpips(vgg, 1, channels, side, target, target, d, &e) && d[0] == 0, "%s", e.msg);
  CHECK(prlx_lpips(vgg, 1, channels, 8, target, target, d, &e) == PRLX_INVALID, "%s", e.msg);
  prlx_classifier *c;
  CHECK(prlx_classifier_load(in_dir("d.safetensors"), &c, &e) == PRLX_FORMAT && !c, "%s", e.msg);
}

/* ---- training ---- */
static void test_training(void) {
  prlx_dataset *d;
  prlx_trainer *t;
  prlx_train_options o;
  prlx_train_info info = {.size = sizeof info};
  prlx_network *n;
  CHECK(!prlx_dataset_new(4, 1, 16, 16, false, &d, &e), "%s", e.msg);
  for (int i = 0; i < 4 * 256; i++) prlx_dataset_images(d)[i] = sinf((float)i * 0.1f);
  prlx_train_defaults(&o, sizeof o);
  o.batch = 4;
  o.preset = "none such";
  CHECK(prlx_trainer_new(d, &o, &t, &e) == PRLX_INVALID && !t, "%s", e.msg);
  o.preset = "small";
  o.conditional = true;
  CHECK(prlx_trainer_new(d, &o, &t, &e) == PRLX_INVALID && !t, "%s", e.msg);
  o.conditional = false;
  CHECK(!prlx_trainer_new(d, &o, &t, &e), "%s", e.msg);
  CHECK(!prlx_trainer_step(t, &info, &e) && info.images == 4 && info.d_loss > 0, "%s", e.msg);
  CHECK(!prlx_trainer_step(t, NULL, &e), "%s", e.msg);
  info.size = 0;
  CHECK(prlx_trainer_step(t, &info, &e) == PRLX_INVALID, "%s", e.msg);
  CHECK(!prlx_trainer_save(t, in_dir("n.safetensors"), &e), "%s", e.msg);
  prlx_trainer_free(t);
  CHECK(!prlx_network_load(path, &n, &e) && prlx_network_resolution(n) == 16, "%s", e.msg);
  prlx_network_free(n);
  prlx_dataset_free(d);
}

/* ---- graphs ---- */
static bool double_shape(const void *context, const prlx_shape *in, prlx_shape *out) {
  *out = in[0];
  return in[0].rank == 1;
}

static void double_run(const void *context, const prlx_shape *in, const float *const *x, float *y) {
  for (int64_t i = 0; i < in[0].dim[0]; i++) y[i] = 2 * x[0][i];
}

static const prlx_op twice = {
    .size = sizeof twice, .name = "twice", .inputs = 1, .shape = double_shape, .run = double_run};

static void test_graph(void) {
  prlx_graph *g = prlx_graph_new();
  prlx_plan *p;
  const prlx_shape three = {1, {3}};
  const float numbers[3] = {1, -2, 3};
  const double line[2] = {2, 1};
  const prlx_val x = prlx_graph_input(g, "x", three), c = prlx_graph_constant(g, three, numbers);
  const prlx_val product = prlx_graph_op(g, "mul", (prlx_val[]){x, c}, NULL);
  const prlx_val y = prlx_graph_op(g, "axpb", &product, line);
  const prlx_val own = prlx_graph_own(g, &twice, &y), dx = prlx_graph_grad(g, y, x);
  CHECK(prlx_graph_shape(g, own).dim[0] == 3, "shape of an operation of one's own");
  CHECK(!prlx_plan_new(g, 2, (prlx_val[]){own, dx}, &p, &e), "%s", e.msg);
  for (int i = 0; i < 3; i++) prlx_plan_data(p, x)[i] = (float)i;
  CHECK(!prlx_plan_run(p, &e), "%s", e.msg);
  CHECK(!memcmp(prlx_plan_data(p, own), (float[]){2, -6, 26}, 12), "values");
  CHECK(!memcmp(prlx_plan_data(p, dx), (float[]){2, -4, 6}, 12), "gradient");
  CHECK(!prlx_plan_data(p, 12345), "no such value");
  prlx_plan_free(p);
  CHECK(!prlx_graph_grad(g, own, x) && prlx_graph_status(g, &e) == PRLX_INVALID, "%s", e.msg);
  prlx_graph_free(g);
}

static void test_graph_refuses(void) {
  static const struct {
    const char *op;
    const char *says;
  } bad[] = {{"no such thing", "not known"}, {"axpb", "missing"}, {"matmul", "matmul"}};
  for (int k = 0; k < COUNT_OF(bad); k++) {
    prlx_graph *g = prlx_graph_new();
    const prlx_val x = prlx_graph_input(g, "x", (prlx_shape){1, {3}});
    CHECK(!prlx_graph_op(g, bad[k].op, (prlx_val[]){x, x}, NULL) && prlx_graph_status(g, &e) &&
              strstr(e.msg, bad[k].says),
          "%s: %s", bad[k].op, e.msg);
    prlx_graph_free(g);
  }
  prlx_graph *g = prlx_graph_new();
  CHECK(!prlx_graph_input(g, "x", (prlx_shape){7, {1}}) && prlx_graph_status(g, &e), "%s", e.msg);
  prlx_graph_free(g);
  g = prlx_graph_new();
  const prlx_val square = prlx_graph_input(g, "x", (prlx_shape){2, {3, 3}});
  CHECK(!prlx_graph_own(g, &twice, &square) && prlx_graph_status(g, &e) == PRLX_INVALID, "%s",
        e.msg);
  prlx_graph_free(g);
  g = prlx_graph_new();
  CHECK(!prlx_graph_own(g, &(prlx_op){0}, &square) && prlx_graph_status(g, &e), "%s", e.msg);
  prlx_graph_free(g);
}

/* ---- failing memory: an error every time, nothing lost ---- */
static void test_no_memory(void) {
  prlx_project_options o;
  prlx_projection *r;
  Seen s;
  int refused = 0;
  project_options(&o, &s);
  o.progress = NULL;
  o.steps = 1;
  for (int64_t k = 0; k < 4000; k += k < 40 ? 1 : 97) {
    const size_t before = mem_live_count();
    mem_fail_after(k);
    const prlx_status st = prlx_project(net, vgg, 1, target, &o, &r, &e);
    mem_fail_after(-1);
    const bool done = st == PRLX_OK;
    refused += !done;
    CHECK(done || (st == PRLX_NOMEM && e.msg[0]), "allocation %lld fails: %s", (long long)k, e.msg);
    prlx_projection_free(r);
    CHECK(mem_live_count() == before, "allocation %lld fails: nothing is lost", (long long)k);
    if (done) break;
  }
  CHECK(refused > 20, "%d were refused", refused);
}

static void test_device(void) {
  prlx_device *d;
  CHECK(prlx_device_open("cuda", NULL, &d, &e) == PRLX_INVALID && !d && strstr(e.msg, "CUDA"), "%s",
        e.msg);
  prlx_device_close(NULL);
}

int main(void) {
  if (!mkdtemp(dir)) return 1;
  test_models();
  if (!net || !vgg) return test_end();
  test_generate();
  test_classes();
  test_project();
  test_project_fast();
  test_project_refuses();
  test_two_threads();
  test_bf16();
  test_datasets();
  test_missing();
  test_volumes();
  test_judges();
  test_training();
  test_graph();
  test_graph_refuses();
  test_device();
  test_no_memory();
  prlx_vgg_free(vgg);
  prlx_network_free(net);
  for (int k = 0; k < 5; k++) {
    static const char *const made[] = {"d.safetensors", "p.png", "v.nii.gz", "n.safetensors", ""};
    in_dir(made[k]);
    if (k < 4)
      unlink(path);
    else
      rmdir(dir);
  }
  threads_stop();
  CHECK(mem_live_count() == 0, "%zu blocks left", mem_live_count());
  return test_end();
}
