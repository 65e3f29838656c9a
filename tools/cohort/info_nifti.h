/* info_nifti.h: the NIfTI part of `prlx info`. */
#ifndef PRLX_INFO_NIFTI_H
#define PRLX_INFO_NIFTI_H
#include "core/base.h"
/* By its first bytes or its name (.nii, .nii.gz, .hdr, .img). */
bool info_is_nifti(const char *path);

/* Header and values on stdout: as text, or as one line of JSON. brief: header only, voxels are not
 * read. */
Status info_nifti(const char *path, bool json, bool brief, Error *e);
#endif
