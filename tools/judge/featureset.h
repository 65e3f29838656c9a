/* featureset.h: the features of a data set, computed once; shared by tools that judge images. */
#ifndef PRLX_FEATURESET_H
#define PRLX_FEATURESET_H
#include "core/backend.h"
#include "io/images/features.h"
#include "models/judge/inception.h"
#include "models/judge/metrics.h"
#include "models/judge/texture.h"

/* What is judged: features [n,2048], which images belong to one subject, and where they come from.
 */
typedef struct FeatureSet {
  char *path;
  FeatureFile f;
  Texture *texture; /* [n], of each image; NULL: the set is a file of features */
  int64_t *group;
  int64_t ngroups;
  bool by_subject;
  int64_t h; /* pixels of the images; 0: a file of features, -1: of several sizes */
  int64_t w;
  int seen; /* channels of the images that the network sees; 0: a file of features */
  int channels;
  bool cached;
} FeatureSet;

/* Options of the way from images to features. cache NULL: no files. bundled path: see
 * inception_load. */
typedef struct FeatureOptions {
  const char *weights;
  const char *data;
  const char *cache;
  Backend *on; /* where the network runs; NULL: the CPU */
  FidInput input;
  int batch;
  int64_t limit /* images, evenly spaced; 0: all */;
  bool texture_only; /* no network: f.d stays 0 */
  int label /* only this class; -1: all */;
} FeatureOptions;

/* The network is loaded when the first set needs it (a set found in the cache needs its key only)
 * and kept in `net`. */
typedef struct FeatureNet {
  FeatureOptions o;
  Inception v;
  InceptionRun run;
  bool loaded;
} FeatureNet;

/* path: a data set, or a file of features (network and convention are then what that file says).
 * Shows progress; Ctrl-C saves what is done to the cache and gives ST_INTERRUPTED. "A+B" (when no
 * file is called so): both as one set. Sets of fewer than two images are refused. */
Status feature_set_open(FeatureSet *s, FeatureNet *net, const char *path, Error *e);

/* Everything that makes feature_set_open refuse a set but what the computation itself shows, in the
 * time of reading it: files, kinds, counts, network. Of s->f only n, d, network and convention are
 * to be relied on. feature_set_free. */
Status feature_set_look(FeatureSet *s, FeatureNet *net, const char *path, Error *e);

/* Of sets that feature_set_look took: ST_INVALID where the network would see all three channels of
 * one and the first of the other, whose distance says nothing about the images. */
Status feature_sets_seen_alike(const FeatureSet *a, const FeatureSet *b, Error *e);
void feature_set_free(FeatureSet *s);
void feature_net_free(FeatureNet *net);
#endif
