/* dataset.h: a set of image patches in one .safetensors file. Tensors: "images" [n,C,H,W] F32 in
 * network units (window mapped to [-1,1]) or U8 (0..255 -> x/127.5-1); optional "labels" I64 [n];
 * optional "names" U8 [n,64] (zero padded). Metadata: format "prlx-dataset-1", channels ("chi" or
 * "chi,rim,flair"), window.<channel> (io/images/window.h), unit.<channel> (ppb, ...), source,
 * licence. Values stay float: nothing is quantised that was not so at the source. Images cut from
 * volumes also say where from (struct DatasetLesions), so that they can go back: "lesion",
 * "subject", "slice" I64 [n], "window" F64 [n,C,2], "lesions.names" U8 [L,64], "lesions.scans" U8
 * [L,64] (only where there are several examinations of a patient), "lesions.subject",
 * "lesions.labels" I64 [L], "lesions.dim" I64 [L,3], "lesions.affine" F64 [L,4,4],
 * "subjects.names" U8 [S,64]. */
#ifndef PRLX_DATASET_H
#define PRLX_DATASET_H
#include "io/formats/safetensors.h"
typedef char Name64[64]; /* zero padded, the last byte is zero */

/* Where the images come from. All arrays belong to the struct (lesions_free). L = n lesions, S =
 * nsubjects, N = images of the data set, C its channels. */
typedef struct DatasetLesions {
  int64_t n;
  int64_t nsubjects;
  Name64 *name;        /* [L], unique within the scan */
  Name64 *scan;        /* [L] "ses-02_run-1", "" for the only one */
  Name64 *subject;     /* [S] */
  int64_t *subject_of; /* [L] index into subject */
  int64_t *label;      /* [L] LesionClass */
  int64_t *dim;        /* [L,3] voxels of the volume the lesion lies in, i fastest */
  double *affine;      /* [L,16] voxel index (i,j,k) of that volume -> mm */
  int64_t *lesion;     /* [N] index of the image's lesion */
  int64_t *slice;      /* [N] k of the image in the lesion's volume */
  double *window;      /* [N,C,2] values (chi in ppb) that became -1 and 1 */
} DatasetLesions;

/* All arrays belong to the struct (dataset_free). */
typedef struct Dataset {
  int64_t n;
  int channels;
  int h;
  int w;
  float *images;       /* [n,channels,h,w] in network units */
  int64_t *labels;     /* [n] LesionClass; NULL: none */
  Name64 *names;       /* [n]; NULL: none */
  DatasetLesions *src; /* NULL: unknown */
  StMeta *meta;        /* [nmeta] */
  int nmeta;
  char *path; /* of the file it came from, for messages */
} Dataset;

/* Reads a whole data set into memory. ST_IO: no such file; ST_FORMAT: no data set, tensors that do
 * not fit together; ST_NUMERIC: NaN or values outside [-4,4] (images made by a network:
 * [-1e4,1e4]), which is data that no window was applied to. After an error d is empty. */
Status dataset_open(Dataset *d, const char *path, Error *e);

/* One channel from n PNG files, named after them: grey level, 0..255 or 0..65535 -> [-1,1];
 * channels that differ by rounding are averaged, with a note in the metadata. Each must be
 * resolution x resolution pixels, else ST_FORMAT; ST_INVALID: n or resolution out of range, a
 * colour picture, transparent pixels. After an error d is empty. */
Status dataset_from_pngs(Dataset *d, int n, const char *const *paths, int resolution, Error *e);

/* Writes d whole or not at all: as F32, or as U8 where every value is a whole level of 8 bits (else
 * ST_INVALID, and nothing is written). ST_IO: cannot be written. */
Status dataset_save(const Dataset *d, const char *path, bool as_u8, Error *e);

/* The same with images [n,C,H,W] F32 handed over piece by piece while the file is written
 * (safetensors.h, StFill); d->images is not used. Errors of fill are handed on. */
Status dataset_save_stream(const Dataset *d, const char *path, StFill fill, void *ctx, Error *e);

/* Keeps the images index[0..n-1] (each within 0..d->n-1), in this order; without names they get
 * lesion<index>. After an error d is as it was. */
Status dataset_select(Dataset *d, const int64_t *index, int64_t n, Error *e);

/* Also of an empty one. */
void dataset_free(Dataset *d);

/* Adds or replaces one metadata entry; both texts are copied. */
Status dataset_set_meta(Dataset *d, const char *key, const char *value, Error *e);

/* Value of a metadata entry, owned by d, or NULL. */
const char *dataset_meta(const Dataset *d, const char *key);

/* ---- pieces (io/images/dataset_lesions.c) ---- */

/* Index of this lesion, or -1. scan: "" for the only one. */
int64_t lesions_find(const DatasetLesions *l, const char *subject, const char *scan,
                     const char *name);

/* "sub-01_ses-02_lesion-03" of lesion i. Returns the length as snprintf does. */
int lesions_title(const DatasetLesions *l, int64_t i, char *out, size_t n);

/* All arrays, zeroed, for these counts (each at least 1); NULL: out of memory. */
DatasetLesions *lesions_new(int64_t lesions, int64_t subjects, int64_t images, int channels);

/* NULL allowed. */
void lesions_free(DatasetLesions *l);

/* Adds the tensors of l to a writer. They are not copied: l, and *subject [images], which is
 * allocated here and freed by the caller (after an error, too), must live until the commit. */
Status lesions_add(StWriter *w, const DatasetLesions *l, int64_t images, int channels,
                   int64_t **subject, Error *e);

/* Reads and checks the tensors of lesions_add. *out NULL: the file has none, which is no error;
 * ST_FORMAT: they do not fit together. */
Status lesions_load(const StFile *f, int64_t images, int channels, DatasetLesions **out, Error *e);
#endif
