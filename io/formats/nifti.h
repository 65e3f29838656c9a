/* nifti.h: NIfTI-1 and NIfTI-2 volumes, .nii, .nii.gz and .hdr/.img pairs, either byte order.
 * Reference: the NIfTI-1 and NIfTI-2 standards (nifti.nimh.nih.gov).
 *
 * Voxel values: the stored number as float64 (exact, except 64-bit integers beyond 2^53), times
 * scl_slope, plus scl_inter, each rounded in float64, then one rounding to float32. scl_slope 0,
 * NaN or infinite means unscaled; a NaN or infinite scl_inter counts as 0, with a warning. */
#ifndef PRLX_NIFTI_H
#define PRLX_NIFTI_H
#include "core/base.h"
/* Where `affine` came from; NO_FORM: voxel sizes only. */
typedef enum { NIFTI_NO_FORM = 0, NIFTI_QFORM = 1, NIFTI_SFORM = 2 } NiftiForm;
typedef struct NiftiHeader {
  int version; /* 1 or 2 */
  /* byte order differs from this machine's; .hdr/.img; voxels stored compressed */
  bool swapped;
  bool pair;
  bool gzipped;
  int ndim;
  int64_t dim[8]; /* dim[0] unused; dim[1..ndim] >= 1, the others 1 */
  int64_t nvox;   /* product of all */
  /* pixdim[0] = qfac, -1 or 1; [1..3] positive, mm; [4] time step, in the unit of xyzt_units */
  double pixdim[8];
  /* bitpix as stored; bytes per voxel are nifti_datatype_bytes(datatype) */
  int datatype;
  int bitpix;
  /* as stored; 0 or NaN slope means unscaled */
  double scl_slope;
  double scl_inter;
  int qform_code;
  int sform_code;
  int xyzt_units; /* as stored; the lengths here are mm whatever it says */
  double quatern[3];
  double qoffset[3]; /* mm */
  /* voxel index (i,j,k) -> mm, row-major 4x4, from sform if its code > 0, else qform, else pixdim.
   * A header in metres or micrometres was converted, with a warning */
  double affine[16];
  double unit_mm; /* by what stored lengths were multiplied: 1 (mm, or not said), 1000 (m), 0.001 */
  NiftiForm form;
  /* both forms, where the header has them and they are usable, mm */
  bool has_sform;
  bool has_qform;
  double sform[16];
  double qform[16];
  double forms_apart; /* mm, the most by which they differ at a corner of the volume; 0: one form */
  double shear;       /* entries of the axes' directions off the nearest right angles; 0: none */
  int64_t vox_offset;
  int extensions;
  int64_t extension_bytes; /* skipped on reading, not written */
  int intent_code;
  double intent_p[3];
  double cal_min;
  double cal_max;
  double toffset;
  double slice_duration;
  int64_t slice_start;
  int64_t slice_end;
  int slice_code;
  int dim_info;
  /* bytes as stored up to the first zero: not checked to be text */
  char descrip[81];
  char intent_name[17];
  char aux_file[25];
  /* "" or, separated by "; ": no orientation, sform not orthonormal, sform and qform disagree, ...
   */
  char warning[512];
} NiftiHeader;

/* A volume widened to float with scaling applied: data[((t*nz + z)*ny + y)*nx + x], as on disk (i
 * fastest). */
typedef struct Nifti {
  NiftiHeader head;
  float *data;  /* [nvox] */
  int64_t nvox; /* product of all dimensions */
  char *path;   /* of the file, for messages */
} Nifti;

/* Header only; sizes are checked against the file before anything is allocated. Either file of a
 * pair may be named. Complex, RGB, float128 and binary volumes have a readable header; nifti_read
 * refuses them by name. ST_IO: cannot be read; ST_FORMAT: no NIfTI file, or a broken one. */
Status nifti_read_header(const char *path, NiftiHeader *h, Error *e);

/* Header and voxels; nifti_free(v). ST_NOMEM also where the volume is larger than the machine's
 * memory. After an error v is empty. */
Status nifti_read(const char *path, Nifti *v, Error *e);

/* The same from memory: a .nii or .nii.gz, or the header of a pair with its image (img NULL
 * otherwise). `name` is for messages and v->path. */
Status nifti_decode(const uint8_t *data, size_t n, const uint8_t *img, size_t nimg,
                    const char *name, Nifti *v, Error *e);

/* Also of an empty one. */
void nifti_free(Nifti *v);

/* By the first bytes: NIfTI header, or a gzip file that begins with one (64 KiB are enough). */
bool nifti_is(const uint8_t *head, size_t n);

/* NIFTI_TYPE codes: "int16", ... or "unknown", a constant text; bytes per voxel, 0 for unknown and
 * binary. */
const char *nifti_datatype_name(int datatype);
int nifti_datatype_bytes(int datatype);

/* What an sform or qform code says: "scanner", "aligned", "talairach", "mni", "template"; a
 * constant text. */
const char *nifti_form_name(int code);

/* "RAS", "LPI", ... of the nearest axes: the letter towards which i, j, k grow. */
void nifti_orientation(const NiftiHeader *h, char out[4]);

/* Writes float32, NIfTI-1 (NIfTI-2 if a dimension exceeds 32767), little-endian, sform and qform
 * from `affine` (code 1 scanner), mm; gzip when the name ends in .gz, otherwise it must end in
 * .nii. A sheared affine is kept in the sform; the qform is then the nearest rotation about the
 * middle, for programs that take only right angles. Atomic, and the same bytes for the same input.
 * dim: nx,ny,nz,nt (nt = 1: 3-D). data in the same order as nifti_read. descrip at most 79
 * characters. */
Status nifti_write(const char *path, const float *data, const int64_t dim[4],
                   const double affine[16], const char *descrip, Error *e);

typedef enum { NIFTI_UINT8 = 2, NIFTI_FLOAT32 = 16, NIFTI_UINT16 = 512 } NiftiType;

/* The same as uint8 or uint16, for masks and label maps: whole numbers within the type, else
 * ST_INVALID, which names the first voxel that is none; nothing is written then. */
Status nifti_write_as(const char *path, const float *data, const int64_t dim[4],
                      const double affine[16], NiftiType type, const char *descrip, Error *e);

/* Same with an existing header's dims, version, forms, codes, unit of time, intent, description and
 * pixdims kept (convert); lengths in mm. */
Status nifti_write_like(const char *path, const float *data, const NiftiHeader *like, Error *e);

/* Shear from which other programs (ITK) refuse an sform. */
#define NIFTI_SHEAR 1e-5

/* R: the directions of A's axes made orthogonal with the least change (a rotation, or one with a
 * mirror), offset 0. Returns the largest change of an entry; infinity: A is singular. */
double affine_rotation(const double A[16], double R[16]);

/* Inverse of an affine (last row 0 0 0 1). ST_NUMERIC when it is singular or not finite. */
Status affine_invert(const double a[16], double inv[16], Error *e);
#endif
