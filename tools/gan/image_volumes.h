/* image_volumes.h: images of networks as NIfTI in BIDS datasets, for `prlx project` and
 * `prlx generate`. */
#ifndef PRLX_IMAGE_VOLUMES_H
#define PRLX_IMAGE_VOLUMES_H
#include "io/images/dataset.h"

/* Network images as volumes, one file per channel, images [n,C,H,W] in network units. With d->src
 * per lesion the slices from the first to the last one there is, in their place, named after their
 * lesion in DIR; else one slice each, centred at 0, as the only lesion of a made-up subject in
 * DIR/nifti (name seed0005: sub-seed0005), with a lesions.tsv of provenance `kind` there. kind
 * "denoised" or "synthetic". *files: how many volumes. ST_INVALID: the susceptibility scale is
 * unknown; nothing is written. */
Status images_to_nifti(const Dataset *d, const float *images, int64_t n, const char *dir,
                       const char *kind, int *files, Error *e);

/* Whether these files have a name each: before the images are computed. ST_INVALID names two that
 * have not. Of a set without a susceptibility scale nothing is written, and all is well. */
Status images_names_check(const Dataset *d, int64_t n, Error *e);

/* dataset_description.json and its like for a folder of denoised lesions; kinds: see
 * io/images/bids.h. */
Status denoised_describe(const char *dir, unsigned kinds, Error *e);
#endif
