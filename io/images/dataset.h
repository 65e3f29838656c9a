/* dataset.h: a set of image patches in one .safetensors file.
 * Tensors: "images" [n,C,H,W] F32 in network units (window mapped to [-1,1]) or U8 (0..255 ->
 * x/127.5-1); optional "labels" I64 [n]; optional "names" U8 [n,64] (zero padded). Metadata: format
 * "prlx-dataset-1", channels ("chi" or "chi,rim,flair"), window.<channel> (io/images/window.h),
 * unit.<channel> (ppb, ...), source, licence. Values stay float: nothing is quantised that was not
 * so at the source. Images cut from volumes also say where from (struct DatasetLesions), so that
 * they can go back: "lesion", "subject", "slice" I64 [n], "window" F64 [n,C,2], "lesions.names" U8
 * [L,64], "lesions.scans" U8 [L,64] (only where scans have names), "lesions.subject",
 * "lesions.labels" I64 [L], "lesions.dim" I64 [L,3], "lesions.affine" F64 [L,4,4], "subjects.names"
 * U8 [S,64]. */
#ifndef PRLX_DATASET_H
#define PRLX_DATASET_H
#include "io/formats/safetensors.h"
typedef char Name64[64];
typedef struct DatasetLesions {
  int64_t n;
  int64_t nsubjects;
  /* of lesions [n] (unique within the scan), their scans ("ses-02_run-1" or ""), of subjects
   * [nsubjects] */
  Name64 *name;
  Name64 *scan;
  Name64 *subject;
  /* [n] index of the subject; [n] class; [n,3] voxels of the volume, i fastest */
  int64_t *subject_of;
  int64_t *label;
  int64_t *dim;
  double *affine; /* [n,16] voxel index -> mm */
  /* per image: index of its lesion, slice k of the volume */
  int64_t *lesion;
  int64_t *slice;
  double *window; /* per image [C,2]: values (chi in ppb) at -1 and 1 */
} DatasetLesions;
typedef struct Dataset {
  int64_t n;
  int channels;
  int h;
  int w;
  float *images;
  int64_t *labels /* NULL: none */;
  Name64 *names;
  DatasetLesions *src /* NULL: unknown */;
  StMeta *meta;
  int nmeta;
  char *path;
} Dataset;

/* also checks for NaN and values outside [-4,4] (images made by a network: [-1e4,1e4]) */
Status dataset_open(Dataset *d, const char *path, Error *e);

/* grey; size must be resolution (else error naming both); 0..255 -> x/127.5-1 */
Status dataset_from_pngs(Dataset *d, int n, const char *const *paths, int resolution, Error *e);
Status dataset_save(const Dataset *d, const char *path, bool as_u8, Error *e);

/* The same with images [n,C,H,W] F32 handed over piece by piece while the file is written;
 * d->images is not used. */
Status dataset_save_stream(const Dataset *d, const char *path, StFill fill, void *ctx, Error *e);

/* Keeps the images index[0..n-1], in this order; without names they get lesion<index>. */
Status dataset_select(Dataset *d, const int64_t *index, int64_t n, Error *e);
void dataset_free(Dataset *d);

/* Adds or replaces one metadata entry. */
Status dataset_set_meta(Dataset *d, const char *key, const char *value, Error *e);
const char *dataset_meta(const Dataset *d, const char *key);

/* ---- pieces (io/images/dataset_lesions.c) ---- */
/* NULL: out of memory */
DatasetLesions *lesions_new(int64_t lesions, int64_t subjects, int64_t images, int channels);
void lesions_free(DatasetLesions *l);
Status lesions_add(StWriter *w, const DatasetLesions *l, int64_t images, int channels,
                   int64_t **subject /* mem_free after the commit */, Error *e);

/* Index of this lesion, or -1. scan: "" for the only one. */
int64_t lesions_find(const DatasetLesions *l, const char *subject, const char *scan,
                     const char *name);

/* "sub-01_ses-02_lesion-03" of lesion i. Returns the length as snprintf does. */
int lesions_title(const DatasetLesions *l, int64_t i, char *out, size_t n);

/* *out NULL: the file has none */
Status lesions_load(const StFile *f, int64_t images, int channels, DatasetLesions **out, Error *e);
#endif
