/* nifti_impl.h: what the four nifti files share. Inside io/ only. */
#ifndef PRLX_IO_NIFTI_IMPL_H
#define PRLX_IO_NIFTI_IMPL_H
#include "io/formats/nifti.h"
#define NIFTI1_BYTES 348
#define NIFTI2_BYTES 540
/* Fields from the first n bytes of a (decompressed) header file, all checked but the size of the
 * image. ST_FORMAT: no NIfTI header or a broken one. */
Status nifti_parse(const uint8_t *p, size_t n, const char *name, NiftiHeader *h, Error *e);

/* Affine, forms, unit and voxel sizes of a header whose fields are read, lengths in its unit; all
 * become mm. sform: rows 1 to 3 as stored, changed. */
void nifti_find_affine(NiftiHeader *h, double sform[12]);

/* Codes, unit, quaternion of a header about to be written with its affine: mm; forms that could not
 * be used are left out; a sheared sform without a qform gets the nearest rotation about the middle
 * of the volume as qform, for programs that take only right angles. */
void nifti_forms_to_write(NiftiHeader *h);

/* vox_offset + voxels x bytes; false when it does not fit. */
bool nifti_total_bytes(const NiftiHeader *h, size_t *total);

/* Adds to h->warning, behind a "; "; what does not fit is cut off. */
void nifti_warn(NiftiHeader *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Quaternion (b, c, d) and qfac of the rotation nearest to the 3x3 part of affine; returns the
 * largest difference that this leaves, relative to the voxel size (0: the affine is orthogonal). */
double nifti_quaternion(const double affine[16], double bcd[3], double *qfac);
#endif
