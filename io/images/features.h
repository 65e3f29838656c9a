/* features.h: features of a set of images in a flat file, so that they are computed once. A file
 * holds "features" [n,d] F32 and the metadata format "prlx-features-1", key (SHA-256 of everything
 * the numbers depend on), images (how many there will be), network, convention. An interrupted run
 * leaves the first n rows; the next one goes on from there. */
#ifndef PRLX_FEATURES_H
#define PRLX_FEATURES_H
#include "io/images/dataset.h"
typedef struct FeatureFile {
  int64_t n;
  int64_t d;
  float *x;
  char network[192];
  char convention[160];
} FeatureFile;

/* Key: hash of the images (shape and values) and of `how`, one text that names weights, convention
 * and options. */
void features_key(const Dataset *d, const char *how, char key[65]);

/* dir/features-<first 16 digits of key>.safetensors */
void features_path(const char *dir, const char key[65], char *out, size_t n);

/* Any file with a tensor "features" of rank 2, also one that another program wrote (network and
 * convention then say so). ST_FORMAT: no such tensor. */
Status features_open(FeatureFile *f, const char *path, Error *e);

/* The rows that a cached file has for this key; f->n = 0 when there is none or it belongs to other
 * images (no error: it will be written anew). */
Status features_cached(FeatureFile *f, const char *path, const char key[65], int64_t d,
                       int64_t images, Error *e);
Status features_save(const FeatureFile *f, const char *path, const char key[65], int64_t images,
                     Error *e);
void features_free(FeatureFile *f);
bool features_is_file(const char *path); /* a .safetensors file with a tensor "features" */
#endif
