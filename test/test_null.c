/* test_null.c: every function of prlx.h with NULL in each place where a pointer belongs: refused by
 * the argument's name, or the neutral value that prlx.h says; and each function that stands in the
 * header is walked here. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "prlx.h"
#include "test/test.h"

enum { MOST_NAMES = 200 };
static const char *walked[MOST_NAMES];
static int nwalked;
static prlx_error e;

static void note_walked(const char *name) {
  for (int i = 0; i < nwalked; i++)
    if (!strcmp(walked[i], name)) return;
  if (nwalked < MOST_NAMES) walked[nwalked++] = name;
}

/* With NULL for this argument it is refused, and says so; also where nobody wants the message. */
#define REFUSED(function, argument, ...)                                                     \
  do {                                                                                       \
    note_walked(#function);                                                                  \
    e.msg[0] = 0;                                                                            \
    CHECK(function(__VA_ARGS__, &e) == PRLX_INVALID && strstr(e.msg, argument " is NULL") && \
              strstr(e.msg, #function),                                                      \
          #function ", " argument ": %s", e.msg);                                            \
    CHECK(function(__VA_ARGS__, NULL) == PRLX_INVALID, #function ": no error wanted");       \
  } while (0)

/* A value where nothing can be refused. */
#define GIVES(function, condition)              \
  do {                                          \
    note_walked(#function);                     \
    CHECK(condition, #function ": " #condition); \
  } while (0)

/* Returns at all. */
#define RETURNS(function, ...) \
  do {                         \
    note_walked(#function);    \
    function(__VA_ARGS__);     \
    CHECK(true, #function);    \
  } while (0)

static void test_library(void) {
  prlx_device *d = NULL;
  GIVES(prlx_version, prlx_version()[0]);
  RETURNS(prlx_threads, 0);
  GIVES(prlx_bf16, !prlx_bf16(false, NULL));
  REFUSED(prlx_device_open, "name", NULL, NULL, &d);
  REFUSED(prlx_device_open, "out", "cuda", NULL, NULL);
  RETURNS(prlx_device_close, NULL);
}

static void test_sets(void) {
  const char *const paths[2] = {"test/data/none.png", NULL};
  prlx_dataset *d = NULL, *other = NULL;
  REFUSED(prlx_dataset_new, "out", 1, 1, 8, 8, false, NULL);
  REFUSED(prlx_dataset_open, "path", NULL, &d);
  REFUSED(prlx_dataset_open, "out", "none", NULL);
  REFUSED(prlx_dataset_from_png, "paths", 1, NULL, 8, &d);
  REFUSED(prlx_dataset_from_png, "paths[k]", 2, paths, 8, &d);
  REFUSED(prlx_dataset_from_png, "out", 1, paths, 8, NULL);
  CHECK(!prlx_dataset_new(2, 1, 8, 8, false, &d, &e), "%s", e.msg);
  REFUSED(prlx_dataset_save, "d", NULL, "none");
  REFUSED(prlx_dataset_save, "path", d, NULL);
  GIVES(prlx_dataset_count, !prlx_dataset_count(NULL));
  GIVES(prlx_dataset_channels, !prlx_dataset_channels(NULL));
  GIVES(prlx_dataset_height, !prlx_dataset_height(NULL));
  GIVES(prlx_dataset_width, !prlx_dataset_width(NULL));
  GIVES(prlx_dataset_images, !prlx_dataset_images(NULL));
  GIVES(prlx_dataset_labels, !prlx_dataset_labels(NULL) && !prlx_dataset_labels(d));
  GIVES(prlx_dataset_name, !*prlx_dataset_name(NULL, 0) && !*prlx_dataset_name(d, 0) &&
                               !*prlx_dataset_name(d, -1) && !*prlx_dataset_name(d, 2));
  GIVES(prlx_dataset_meta, !prlx_dataset_meta(NULL, "channels") && !prlx_dataset_meta(d, NULL));
  REFUSED(prlx_dataset_set_meta, "d", NULL, "a", "b");
  REFUSED(prlx_dataset_set_meta, "key", d, NULL, "b");
  REFUSED(prlx_dataset_set_meta, "value", d, "a", NULL);
  CHECK(!prlx_dataset_meta(d, "a") && !other, "nothing was set");
  RETURNS(prlx_dataset_free, NULL);
  prlx_dataset_free(d);
}

static void test_pictures(void) {
  static const double affine[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  static const int64_t dim[4] = {2, 2, 2, 1};
  const float v[8] = {0};
  prlx_volume *vol = NULL;
  REFUSED(prlx_png_write, "path", NULL, 2, 2, v);
  REFUSED(prlx_png_write, "image", "none", 2, 2, NULL);
  REFUSED(prlx_volume_read, "path", NULL, &vol);
  REFUSED(prlx_volume_read, "out", "none", NULL);
  RETURNS(prlx_volume_free, NULL);
  GIVES(prlx_volume_data, !prlx_volume_data(NULL));
  GIVES(prlx_volume_dim, !prlx_volume_dim(NULL));
  GIVES(prlx_volume_affine, !prlx_volume_affine(NULL));
  GIVES(prlx_volume_warning, !*prlx_volume_warning(NULL));
  REFUSED(prlx_volume_write, "path", NULL, v, dim, affine, "");
  REFUSED(prlx_volume_write, "data", "none", NULL, dim, affine, "");
  REFUSED(prlx_volume_write, "dim", "none", v, NULL, affine, "");
  REFUSED(prlx_volume_write, "affine", "none", v, dim, NULL, "");
  CHECK(prlx_volume_write("/nowhere/at/all.nii", v, dim, affine, NULL, &e) == PRLX_IO, "%s", e.msg);
  CHECK(!vol, "nothing was read");
}

static void test_models(void) {
  const float v[8] = {0};
  double p[2];
  prlx_classifier *c = NULL;
  REFUSED(prlx_network_load, "out", "none", NULL);
  RETURNS(prlx_network_free, NULL);
  GIVES(prlx_network_channels, !prlx_network_channels(NULL));
  GIVES(prlx_network_resolution, !prlx_network_resolution(NULL));
  GIVES(prlx_network_classes, !prlx_network_classes(NULL));
  GIVES(prlx_network_z_dim, !prlx_network_z_dim(NULL));
  GIVES(prlx_network_w_dim, !prlx_network_w_dim(NULL));
  GIVES(prlx_network_meta, !prlx_network_meta(NULL, "channels"));
  REFUSED(prlx_vgg_load, "out", NULL, NULL, NULL);
  RETURNS(prlx_vgg_free, NULL);
  GIVES(prlx_vgg_name, !*prlx_vgg_name(NULL));
  REFUSED(prlx_lpips, "vgg", NULL, 1, 1, 2, v, v, p);
  REFUSED(prlx_classifier_load, "path", NULL, &c);
  REFUSED(prlx_classifier_load, "out", "none", NULL);
  RETURNS(prlx_classifier_free, NULL);
  GIVES(prlx_classifier_classes, !prlx_classifier_classes(NULL));
  GIVES(prlx_classifier_channels, !*prlx_classifier_channels(NULL));
  REFUSED(prlx_classify, "c", NULL, 1, 1, 2, 2, v, p);
  CHECK(!c, "nothing was loaded");
}

/* The same of models that are there. */
static void test_used(void) {
  const uint32_t seed = 0;
  float v[16 * 16] = {0};
  double p[1];
  prlx_network *net;
  prlx_vgg *vgg;
  prlx_projection *r = NULL;
  CHECK(!prlx_network_load("test/golden/generator_uncond.safetensors", &net, &e), "%s", e.msg);
  CHECK(!prlx_vgg_load(NULL, NULL, &vgg, &e), "%s", e.msg);
  CHECK(!prlx_network_meta(net, NULL), "a key that is NULL");
  REFUSED(prlx_lpips, "a", vgg, 1, 1, 16, NULL, v, p);
  REFUSED(prlx_lpips, "b", vgg, 1, 1, 16, v, NULL, p);
  REFUSED(prlx_lpips, "distance", vgg, 1, 1, 16, v, v, NULL);
  REFUSED(prlx_generate, "net", NULL, 1, &seed, NULL, v, NULL);
  REFUSED(prlx_generate, "seeds", net, 1, NULL, NULL, v, NULL);
  REFUSED(prlx_generate, "images", net, 1, &seed, NULL, NULL, NULL);
  REFUSED(prlx_project, "net", NULL, vgg, 1, v, NULL, &r);
  REFUSED(prlx_project, "vgg", net, NULL, 1, v, NULL, &r);
  REFUSED(prlx_project, "targets", net, vgg, 1, NULL, NULL, &r);
  REFUSED(prlx_project, "out", net, vgg, 1, v, NULL, NULL);
  CHECK(!r, "nothing was projected");
  prlx_vgg_free(vgg);
  prlx_network_free(net);
}

static void test_results(void) {
  RETURNS(prlx_generate_defaults, NULL, sizeof(prlx_generate_options));
  RETURNS(prlx_project_defaults, NULL, sizeof(prlx_project_options));
  RETURNS(prlx_project_defaults_for, PRLX_SOLVER_FAST, NULL, sizeof(prlx_project_options));
  RETURNS(prlx_train_defaults, NULL, sizeof(prlx_train_options));
  RETURNS(prlx_projection_free, NULL);
  GIVES(prlx_projection_done, !prlx_projection_done(NULL));
  GIVES(prlx_projection_image, !prlx_projection_image(NULL, 0));
  GIVES(prlx_projection_w, !prlx_projection_w(NULL, 0));
  GIVES(prlx_projection_w_size, !prlx_projection_w_size(NULL));
  GIVES(prlx_projection_noise, !prlx_projection_noise(NULL, 0));
  GIVES(prlx_projection_noise_size, !prlx_projection_noise_size(NULL));
  GIVES(prlx_projection_lpips, isnan(prlx_projection_lpips(NULL, 0)));
  GIVES(prlx_projection_inside, isnan(prlx_projection_inside(NULL, 0)));
  GIVES(prlx_projection_outside, isnan(prlx_projection_outside(NULL, 0)));
  GIVES(prlx_projection_steps, !prlx_projection_steps(NULL, 0));
  GIVES(prlx_projection_seconds, isnan(prlx_projection_seconds(NULL, 0)));
  GIVES(prlx_projection_w_avg, !prlx_projection_w_avg(NULL));
  GIVES(prlx_projection_w_std, isnan(prlx_projection_w_std(NULL)));
  GIVES(prlx_projection_w_distance, isnan(prlx_projection_w_distance(NULL, 0)));
}

static void test_trainer(void) {
  prlx_trainer *t = NULL;
  prlx_dataset *d;
  CHECK(!prlx_dataset_new(4, 1, 8, 8, false, &d, &e), "%s", e.msg);
  REFUSED(prlx_trainer_new, "d", NULL, NULL, &t);
  REFUSED(prlx_trainer_new, "out", d, NULL, NULL);
  REFUSED(prlx_trainer_step, "t", NULL, NULL);
  REFUSED(prlx_trainer_save, "t", NULL, "none");
  RETURNS(prlx_trainer_free, NULL);
  CHECK(!t, "nothing was made");
  prlx_dataset_free(d);
}

/* A graph keeps its first failure, so that each has one of its own. */
static void test_failures(const char *part, int k) {
  static const float one[1] = {1};
  const prlx_shape s = {.rank = 1, .dim = {1}};
  const prlx_val in[2] = {0, 0};
  prlx_graph *g = prlx_graph_new();
  CHECK(g != NULL, "a graph");
  const prlx_val v = k == 0   ? prlx_graph_input(g, NULL, s)
                     : k == 1 ? prlx_graph_constant(g, s, NULL)
                     : k == 2 ? prlx_graph_op(g, NULL, in, NULL)
                     : k == 3 ? prlx_graph_op(g, "add", NULL, NULL)
                     : k == 4 ? prlx_graph_own(g, NULL, in)
                              : prlx_graph_own(g, &(prlx_op){.size = sizeof(prlx_op)}, NULL);
  CHECK(!v && prlx_graph_status(g, &e) == PRLX_INVALID && strstr(e.msg, part), "%s: %s", part,
        e.msg);
  CHECK(!prlx_graph_constant(g, s, one) || prlx_graph_status(g, NULL), "the failure stays");
  prlx_graph_free(g);
}

static void test_graphs(void) {
  static const char *const part[] = {
      "prlx_graph_input: name is NULL", "prlx_graph_constant: data is NULL",
      "prlx_graph_op: name is NULL",    "prlx_graph_op: in is NULL",
      "prlx_graph_own: op is NULL",     "prlx_graph_own: in is NULL"};
  const prlx_shape s = {.rank = 1, .dim = {1}};
  const prlx_val in[2] = {0, 0};
  const float one[1] = {1};
  const prlx_op op = {.size = sizeof op};
  prlx_plan *p = NULL;
  prlx_graph *g = prlx_graph_new();
  GIVES(prlx_graph_new, g != NULL);
  REFUSED(prlx_graph_status, "g", NULL);
  GIVES(prlx_graph_input, !prlx_graph_input(NULL, "x", s));
  GIVES(prlx_graph_constant, !prlx_graph_constant(NULL, s, one));
  GIVES(prlx_graph_op, !prlx_graph_op(NULL, "add", in, NULL));
  GIVES(prlx_graph_own, !prlx_graph_own(NULL, &op, in));
  GIVES(prlx_graph_grad, !prlx_graph_grad(NULL, 0, 0));
  GIVES(prlx_graph_shape, !prlx_graph_shape(NULL, 0).rank);
  REFUSED(prlx_plan_new, "g", NULL, 1, in, &p);
  REFUSED(prlx_plan_new, "plan", g, 1, in, NULL);
  REFUSED(prlx_plan_new, "out", g, 1, NULL, &p);
  REFUSED(prlx_plan_run, "p", NULL);
  GIVES(prlx_plan_data, !prlx_plan_data(NULL, 0));
  RETURNS(prlx_plan_free, NULL);
  RETURNS(prlx_graph_free, NULL);
  for (int k = 0; k < 6; k++) test_failures(part[k], k);
  CHECK(!p, "nothing was planned");
  prlx_graph_free(g);
}

/* Names of functions in the header: prlx_...( behind PRLX_API. */
static void test_all_walked(void) {
  char text[1 << 16], name[80];
  FILE *f = fopen("prlx.h", "rb");
  CHECK(f != NULL, "prlx.h");
  if (!f) return;
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  int found = 0;
  for (char *at = strstr(text, "PRLX_API "); at; at = strstr(at + 1, "PRLX_API ")) {
    char *end = at + strcspn(at, "(\n"), *start = end;
    while (start > at && (isalnum((unsigned char)start[-1]) || start[-1] == '_')) start--;
    snprintf(name, sizeof name, "%.*s", (int)(end - start), start);
    if (*end != '(' || strncmp(name, "prlx_", 5)) continue;
    bool seen = false;
    for (int i = 0; i < nwalked; i++) seen |= !strcmp(walked[i], name);
    CHECK(seen, "%s stands in prlx.h and is not tried with NULL here", name);
    found++;
  }
  CHECK(found == nwalked && found > 70, "%d functions in prlx.h, %d walked", found, nwalked);
}

int main(void) {
  test_library();
  test_sets();
  test_pictures();
  test_models();
  test_used();
  test_results();
  test_trainer();
  test_graphs();
  test_all_walked();
  return test_end();
}
