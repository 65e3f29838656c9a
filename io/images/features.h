/* features.h: features of a set of images in a flat file, so that they are computed once. A file
 * holds "features" [n,d] F32 and the metadata format "prlx-features-1", key (SHA-256 of everything
 * the numbers depend on), images (how many there will be), network, convention. An interrupted run
 * leaves the first n rows; the next one goes on from there. */
#ifndef PRLX_FEATURES_H
#define PRLX_FEATURES_H
#include "io/images/dataset.h"

/* n points in d dimensions, one a row, as in metrics.h. */
typedef struct FeatureFile {
  int64_t n;
  int64_t d;
  float *x;             /* [n,d], owned (features_free) */
  char network[192];    /* which one, as the file says */
  char convention[160]; /* of the images it was given, as the file says */
} FeatureFile;

/* Key: 64 hexadecimal digits, the SHA-256 of the images (shape and values) and of `how`, one text
 * that names weights, convention and options. */
void features_key(const Dataset *d, const char *how, char key[65]);

/* out (n bytes) = dir/features-<first 16 digits of key>.safetensors; a longer name is cut off. */
void features_path(const char *dir, const char key[65], char *out, size_t n);

/* Reads any file with a tensor "features" of rank 2, also one that another program wrote (network
 * and convention then say so). ST_IO: no such file; ST_FORMAT: no such tensor, or the file of an
 * interrupted run; ST_NUMERIC: NaN or infinity in it. After an error f is empty. */
Status features_open(FeatureFile *f, const char *path, Error *e);

/* The rows that a cached file has for this key, d dimensions, at most `images` rows; f->n = 0 when
 * there is none, it is damaged or belongs to other images (no error: it will be written anew). The
 * only error is ST_NOMEM. */
Status features_cached(FeatureFile *f, const char *path, const char key[65], int64_t d,
                       int64_t images, Error *e);

/* Writes the rows so far, whole or not at all; images: how many there will be. */
Status features_save(const FeatureFile *f, const char *path, const char key[65], int64_t images,
                     Error *e);

/* Also of an empty one. */
void features_free(FeatureFile *f);

/* Whether this is a readable .safetensors file with a tensor "features". */
bool features_is_file(const char *path);
#endif
