/* api_judge.c: the rim classifier and the perceptual distance of prlx.h. */
#include <string.h>
#include "models/api/api.h"
#include "models/store/classifierfile.h"

prlx_status prlx_classifier_load(const char *path, prlx_classifier **out, prlx_error *e) {
  API_NEED(path, e);
  API_NEED(out, e);
  Error in;
  prlx_classifier *c = mem_alloc(sizeof *c);
  *out = NULL;
  if (!c) return api_return(err_set(&in, ST_NOMEM, "%s: out of memory", path), &in, e);
  const Status s = classifiers_load(path, &c->run, &c->runs, c->channels, &in);
  if (s == ST_OK)
    *out = c;
  else
    mem_free(c);
  return api_return(s, &in, e);
}

void prlx_classifier_free(prlx_classifier *c) {
  if (!c) return;
  classifiers_free(c->run, c->runs);
  mem_free(c);
}

int prlx_classifier_classes(const prlx_classifier *c) { return c ? c->run[0].cfg.classes : 0; }
const char *prlx_classifier_channels(const prlx_classifier *c) { return c ? c->channels : ""; }

/* Mean over the runs; `one` [n,classes] is room for one of them. */
static Status classify_all(const prlx_classifier *c, const Slices *d, double *probability,
                           double *one, Error *e) {
  const int64_t values = d->n * c->run[0].cfg.classes;
  memset(probability, 0, (size_t)values * sizeof *probability);
  for (int k = 0; k < c->runs; k++) {
    TRY(classifier_predict(&c->run[k], d, one, e));
    for (int64_t i = 0; i < values; i++) probability[i] += one[i] / c->runs;
  }
  return ST_OK;
}

prlx_status prlx_classify(const prlx_classifier *c, int64_t n, int channels, int height, int width,
                          const float *images, double *probability, prlx_error *e) {
  API_NEED(c, e);
  API_NEED(images, e);
  API_NEED(probability, e);
  Error in;
  const Slices d = {.images = images, .n = n, .channels = channels, .h = height, .w = width};
  const int wanted = c->run[0].cfg.channels;
  if (n < 1 || channels != wanted)
    return api_return(err_set(&in, ST_INVALID,
                              "classifier: %lld images of %d channels; expected at least one, of "
                              "%d channels (%s)",
                              (long long)n, channels, wanted, c->channels),
                      &in, e);
  double *one = mem_alloc((size_t)n * (size_t)c->run[0].cfg.classes * sizeof *one);
  const Status s = one ? classify_all(c, &d, probability, one, &in)
                       : err_set(&in, ST_NOMEM, "classifier: out of memory");
  mem_free(one);
  return api_return(s, &in, e);
}

prlx_status prlx_lpips(const prlx_vgg *vgg, int64_t n, int channels, int side, const float *a,
                       const float *b, double *distance, prlx_error *e) {
  API_NEED(vgg, e);
  API_NEED(a, e);
  API_NEED(b, e);
  API_NEED(distance, e);
  Error in;
  if (n < 1 || channels < 1 || side < VGG_MIN_SIDE)
    return api_return(err_set(&in, ST_INVALID,
                              "LPIPS: %lld pairs, %d channels, side %d; expected at least 1, 1, %d",
                              (long long)n, channels, side, VGG_MIN_SIDE),
                      &in, e);
  const Status s = lpips_distance(&vgg->vgg, SHAPE4(n, channels, side, side), a, b,
                                  VGG_CHANNELS_AUTO, distance, &in);
  return api_return(s, &in, e);
}
