/* dataset.h: a set of image patches in one .safetensors file.
 * Tensors: "images" [n,C,H,W] F32 in network units (window mapped to [-1,1]) or U8 (0..255 -> x/127.5-1); optional "labels" I64 [n];
 * optional "names" U8 [n,64] (zero padded). Metadata: format "prlx-dataset-1", channels ("chi" or "chi,rim,flair"), window.<channel> "lo,hi" with unit
 * (ppb, or "display" when the susceptibility scale is unknown), source, licence. Values stay float: nothing is quantised that was not so at the source. */
#ifndef PRLX_DATASET_H
#define PRLX_DATASET_H
#include "io/safetensors.h"
typedef struct Dataset { int64_t n; int channels, h, w; float *images; int64_t *labels /* NULL: none */; char (*names)[64]; StMeta *meta; int nmeta; char *path; } Dataset;
Status dataset_open(Dataset *d, const char *path, Error *e);     /* also checks for NaN and values outside [-4,4] (images made by a network: [-1e4,1e4]) */
Status dataset_from_pngs(Dataset *d, int n, const char *const *paths, int resolution, Error *e); /* grey; size must be resolution (else error naming both); 0..255 -> x/127.5-1 */
Status dataset_save(const Dataset *d, const char *path, bool as_u8, Error *e);
void   dataset_free(Dataset *d);
/* Adds or replaces one metadata entry. */
Status dataset_set_meta(Dataset *d, const char *key, const char *value, Error *e);
const char *dataset_meta(const Dataset *d, const char *key);
#endif
