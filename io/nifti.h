/* nifti.h: NIfTI-1 and NIfTI-2 volumes, .nii, .nii.gz and .hdr/.img pairs, either byte order.
 * Reference: the NIfTI-1 and NIfTI-2 standards (nifti.nimh.nih.gov). */
#ifndef PRLX_NIFTI_H
#define PRLX_NIFTI_H
#include "core/base.h"
typedef enum { NIFTI_NO_FORM = 0, NIFTI_QFORM = 1, NIFTI_SFORM = 2 } NiftiForm;   /* where `affine` came from; NO_FORM: voxel sizes only */
typedef struct NiftiHeader {
  int version;                 /* 1 or 2 */
  bool swapped, pair, gzipped; /* byte order differs from this machine's; .hdr/.img; stored compressed */
  int ndim; int64_t dim[8];    /* dim[0] unused; dim[1..ndim] */
  double pixdim[8];            /* pixdim[0] = qfac */
  int datatype, bitpix;
  double scl_slope, scl_inter; /* as stored; 0 or NaN slope means unscaled */
  int qform_code, sform_code, xyzt_units;
  double quatern[3], qoffset[3];
  double affine[16];           /* voxel index (i,j,k) -> mm, row-major 4x4, from sform if its code > 0, else qform, else pixdim */
  NiftiForm form;
  int64_t vox_offset;
  char descrip[81], intent_name[17];
  char warning[256];           /* "" or: no orientation, sform not orthonormal, sform and qform disagree, ... */
} NiftiHeader;
/* A volume widened to float with scaling applied: data[((t*nz + z)*ny + y)*nx + x], as on disk (i fastest). */
typedef struct Nifti { NiftiHeader h; float *data; int64_t nvox; char *path; } Nifti;
/* Header only; sizes are checked against the file before anything is allocated. */
Status nifti_read_header(const char *path, NiftiHeader *h, Error *e);
Status nifti_read(const char *path, Nifti *v, Error *e);
void   nifti_free(Nifti *v);
const char *nifti_datatype_name(int datatype);         /* "int16", ...; "unknown" */
void   nifti_orientation(const NiftiHeader *h, char out[4]); /* "RAS", "LPI", ... nearest axes */
/* Writes float32, NIfTI-1, sform and qform from `affine` (code 1 scanner), mm; gzip when the name ends in .gz. Atomic.
 * dim: nx,ny,nz,nt (nt = 1: 3-D). data in the same order as nifti_read. descrip at most 79 characters. */
Status nifti_write(const char *path, const float *data, const int64_t dim[4], const double affine[16], const char *descrip, Error *e);
/* Same with an existing header's codes and pixdims kept (convert). */
Status nifti_write_like(const char *path, const float *data, const NiftiHeader *like, Error *e);
Status affine_invert(const double a[16], double inv[16], Error *e);
#endif
