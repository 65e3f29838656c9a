/* nifti_affine.c: from the fields of a header to voxel -> mm: sform, qform (method 2 of the
 * standard), voxel sizes, the unit of length; what the two forms say of one another. */
#include <math.h>
#include <string.h>
#include "io/formats/nifti_impl.h"

static double affine_det(const double a[16]) {
  return a[0] * (a[5] * a[10] - a[6] * a[9]) - a[1] * (a[4] * a[10] - a[6] * a[8]) +
         a[2] * (a[4] * a[9] - a[5] * a[8]);
}

static double column_norm(const double a[16], int c) {
  return sqrt(a[c] * a[c] + a[4 + c] * a[4 + c] + a[8 + c] * a[8 + c]);
}

Status affine_invert(const double a[16], double inv[16], Error *e) {
  double d = affine_det(a), scale = column_norm(a, 0) * column_norm(a, 1) * column_norm(a, 2),
         r[16] = {0};
  if (!isfinite(d) || !(fabs(d) > 1e-9 * scale))
    return err_set(e, ST_NUMERIC,
                   "the affine cannot be inverted: determinant %g; expected independent axes; the "
                   "header is damaged",
                   d);
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {
      /* cyclic indices carry the sign of the cofactor */
      int i1 = (i + 1) % 3, i2 = (i + 2) % 3, j1 = (j + 1) % 3, j2 = (j + 2) % 3;
      r[4 * i + j] = (a[4 * j1 + i1] * a[4 * j2 + i2] - a[4 * j1 + i2] * a[4 * j2 + i1]) / d;
    }
  for (int i = 0; i < 3; i++)
    r[4 * i + 3] = -(r[4 * i] * a[3] + r[4 * i + 1] * a[7] + r[4 * i + 2] * a[11]);
  r[15] = 1;
  for (int i = 0; i < 16; i++)
    if (!isfinite(r[i]))
      return err_set(e, ST_NUMERIC,
                     "the affine cannot be inverted: its entries are too large or too small; the "
                     "header is damaged");
  memcpy(inv, r, sizeof r);
  return ST_OK;
}

/* Method 2 of the standard: rotation from the quaternion (a from b, c, d), columns times pixdim,
 * third one times qfac. */
static bool qform_affine(const NiftiHeader *h, double A[16]) {
  double b = h->quatern[0], c = h->quatern[1], d = h->quatern[2], n = b * b + c * c + d * d, a = 0;
  if (!isfinite(n)) return false;
  /* near half a turn the rounding of b, c, d to float32 would become a rotation of half a
   * milliradian: like the NIfTI library, take it as half a turn */
  if (1 - n >= 1e-7)
    a = sqrt(1 - n);
  else {
    double k = 1 / sqrt(n);
    b *= k;
    c *= k;
    d *= k;
  }
  const double R[9] = {
      a * a + b * b - c * c - d * d, 2 * (b * c - a * d),           2 * (b * d + a * c),
      2 * (b * c + a * d),           a * a + c * c - b * b - d * d, 2 * (c * d - a * b),
      2 * (b * d - a * c),           2 * (c * d + a * b),           a * a + d * d - b * b - c * c};
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++)
      A[4 * i + j] = R[3 * i + j] * h->pixdim[j + 1] * (j == 2 ? h->pixdim[0] : 1);
    A[4 * i + 3] = h->qoffset[i];
    if (!isfinite(h->qoffset[i])) return false;
  }
  A[12] = A[13] = A[14] = 0;
  A[15] = 1;
  return true;
}

static bool sform_affine(const double s[12], double A[16]) {
  for (int i = 0; i < 12; i++) {
    if (!isfinite(s[i])) return false;
    A[i] = s[i];
  }
  A[12] = A[13] = A[14] = 0;
  A[15] = 1;
  double inv[16];
  return affine_invert(A, inv, NULL) == ST_OK;
}

/* Largest distance between two mappings over the corners of the volume. */
static double affine_disagreement(const NiftiHeader *h, const double A[16], const double B[16]) {
  double worst = 0;
  for (int c = 0; c < 8; c++) {
    double sum = 0;
    for (int i = 0; i < 3; i++) {
      double d = A[4 * i + 3] - B[4 * i + 3];
      for (int j = 0; j < 3; j++)
        d += (A[4 * i + j] - B[4 * i + j]) * (double)(c >> j & 1 ? h->dim[j + 1] - 1 : 0);
      sum += d * d;
    }
    worst = fmax(worst, sqrt(sum));
  }
  return worst;
}

double affine_rotation(const double A[16], double R[16]) {
  double T[16], start[16], diff = 0;
  memset(R, 0, 16 * sizeof *R);
  for (int j = 0; j < 3; j++)
    for (int i = 0; i < 3; i++) R[4 * i + j] = A[4 * i + j] / column_norm(A, j);
  R[15] = 1;
  memcpy(start, R, sizeof start);
  /* Newton iteration towards the orthogonal polar factor (Higham 1986) */
  for (int it = 0; it < 60; it++) {
    double step = 0;
    if (affine_invert(R, T, NULL) != ST_OK) return INFINITY;
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++) step = fmax(step, fabs(R[4 * i + j] - T[4 * j + i]));
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++) R[4 * i + j] = (R[4 * i + j] + T[4 * j + i]) / 2;
    if (step < 1e-14) break;
  }
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) diff = fmax(diff, fabs(R[4 * i + j] - start[4 * i + j]));
  return diff;
}

double nifti_quaternion(const double A[16], double bcd[3], double *qfac) {
  double R[16];
  const double diff = affine_rotation(A, R);
  if (!isfinite(diff)) return diff;
  *qfac = affine_det(R) < 0 ? -1 : 1;
  for (int i = 0; i < 3; i++) R[4 * i + 2] *= *qfac;
  /* Shepperd 1978: divide by the largest of the four components. */
  double t[4] = {R[0] + R[5] + R[10], R[0] - R[5] - R[10], R[5] - R[0] - R[10],
                 R[10] - R[0] - R[5]};
  int k = 0;
  for (int i = 1; i < 4; i++)
    if (t[i] > t[k]) k = i;
  double s = sqrt(fmax(t[k] + 1, 0)) * 2, q[4];
  double p1 = R[9] - R[6], p2 = R[2] - R[8], p3 = R[4] - R[1], s12 = R[1] + R[4], s13 = R[2] + R[8],
         s23 = R[6] + R[9];
  const double rows[4][4] = {{s * s / 4, p1, p2, p3},
                             {p1, s * s / 4, s12, s13},
                             {p2, s12, s * s / 4, s23},
                             {p3, s13, s23, s * s / 4}};
  for (int i = 0; i < 4; i++) q[i] = rows[k][i] / s;
  for (int i = 0; i < 3; i++) bcd[i] = q[0] < 0 ? -q[i + 1] : q[i + 1];
  return diff;
}

/* ---- the fields of a header ---- */
static void check_pixdims(NiftiHeader *h) {
  h->pixdim[0] = h->pixdim[0] < 0 ? -1 : 1; /* 0 and NaN count as 1 */
  for (int i = 1; i <= 3; i++) {
    double p = h->pixdim[i];
    if (isfinite(p) && p > 0) continue;
    h->pixdim[i] = isfinite(p) && p != 0 ? fabs(p) : 1;
    if (i <= h->ndim) nifti_warn(h, "pixdim[%d] is %g, %g is used", i, p, h->pixdim[i]);
  }
  for (int i = 4; i < 8; i++)
    if (!isfinite(h->pixdim[i])) h->pixdim[i] = 0;
}

/* Everything that is a length becomes mm. Codes beyond the standard are left for nifti_read. */
static void take_unit(NiftiHeader *h, double sform[12]) {
  const int unit = h->xyzt_units & 7;
  h->unit_mm = unit == 1 ? 1000 : unit == 3 ? 0.001 : 1;
  if (unit > 3) nifti_warn(h, "spatial unit code %d is not in the standard", unit);
  if (h->unit_mm == 1) return;
  for (int i = 0; i < 12; i++) sform[i] *= h->unit_mm;
  for (int i = 0; i < 3; i++) {
    h->pixdim[i + 1] *= h->unit_mm;
    h->qoffset[i] *= h->unit_mm;
  }
  nifti_warn(h, "lengths are stored in %s: converted to mm", unit == 1 ? "metres" : "micrometres");
}

static void check_quaternion(NiftiHeader *h) {
  const double *q = h->quatern, n = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
  if (isfinite(n) && n > 1.001)
    nifti_warn(h,
               "quaternion (b, c, d) of the qform has length %.4g, at most 1 is possible: scaled "
               "to 1, so the orientation is a guess",
               n);
}

/* What the forms in use say of one another and of the voxel sizes. */
static void compare_forms(NiftiHeader *h) {
  double bcd[3], qfac, size[3], worst = 0;
  for (int c = 0; c < 3; c++) {
    size[c] = column_norm(h->affine, c);
    worst = fmax(worst, fabs(size[c] / h->pixdim[c + 1] - 1));
  }
  h->shear = nifti_quaternion(h->affine, bcd, &qfac);
  if (h->shear > 1e-3)
    nifti_warn(h, "sform axes are not at right angles (a registration with shear?)");
  if (h->has_sform && h->has_qform) {
    h->forms_apart = affine_disagreement(h, h->sform, h->qform);
    if (h->forms_apart > fmin(size[0], fmin(size[1], size[2])) / 2)
      nifti_warn(h, "sform (code %d) and qform (code %d) disagree by up to %.3g mm: sform is used",
                 h->sform_code, h->qform_code, h->forms_apart);
  } else if (h->has_sform && worst > 0.01)
    nifti_warn(h,
               "voxels of %.4g x %.4g x %.4g mm by pixdim, of %.4g x %.4g x %.4g mm by the sform: "
               "sform is used",
               h->pixdim[1], h->pixdim[2], h->pixdim[3], size[0], size[1], size[2]);
}

void nifti_find_affine(NiftiHeader *h, double sform[12]) {
  check_pixdims(h);
  take_unit(h, sform);
  h->has_sform = h->sform_code > 0 && sform_affine(sform, h->sform);
  h->has_qform = h->qform_code > 0 && qform_affine(h, h->qform);
  if (h->sform_code > 0 && !h->has_sform) nifti_warn(h, "sform is not invertible and was ignored");
  if (h->qform_code > 0 && !h->has_qform) nifti_warn(h, "qform is not finite and was ignored");
  if (h->has_qform) check_quaternion(h);
  h->form = h->has_sform ? NIFTI_SFORM : h->has_qform ? NIFTI_QFORM : NIFTI_NO_FORM;
  if (h->form == NIFTI_NO_FORM) {
    memset(h->affine, 0, sizeof h->affine);
    for (int i = 0; i < 3; i++) h->affine[5 * i] = h->pixdim[i + 1];
    h->affine[15] = 1;
    nifti_warn(h, "no orientation (neither sform nor qform): voxel sizes only, so left and right "
                  "are unknown");
    return;
  }
  memcpy(h->affine, h->has_sform ? h->sform : h->qform, sizeof h->affine);
  compare_forms(h);
}

/* ---- writing ---- */
/* qform: the rotation nearest to the sform, the middle of the volume where the sform has it. */
static void nearest_qform(NiftiHeader *h) {
  double Q[16];
  nifti_quaternion(h->affine, h->quatern, &h->pixdim[0]);
  memset(h->qoffset, 0, sizeof h->qoffset);
  for (int c = 0; c < 3; c++) h->pixdim[c + 1] = column_norm(h->affine, c);
  if (!qform_affine(h, Q)) return;
  for (int i = 0; i < 3; i++) {
    h->qoffset[i] = h->affine[4 * i + 3];
    for (int j = 0; j < 3; j++)
      h->qoffset[i] += (h->affine[4 * i + j] - Q[4 * i + j]) * (double)(h->dim[j + 1] - 1) / 2;
  }
  h->qform_code = h->sform_code;
}

void nifti_forms_to_write(NiftiHeader *h) {
  double bcd[3], qfac;
  h->xyzt_units = (h->xyzt_units & 0x38) | 2;
  if (h->form != NIFTI_SFORM) h->sform_code = 0;
  if (h->form == NIFTI_NO_FORM) h->qform_code = 0;
  for (int i = 0; i < 3; i++)
    if (!isfinite(h->quatern[i]) || !isfinite(h->qoffset[i])) {
      h->qform_code = 0;
      h->quatern[i] = h->qoffset[i] = 0;
    }
  if (h->sform_code <= 0 || h->qform_code > 0) return;
  if (nifti_quaternion(h->affine, bcd, &qfac) > NIFTI_SHEAR) nearest_qform(h);
}

/* ---- axes ---- */
void nifti_orientation(const NiftiHeader *h, char out[4]) {
  static const int perm[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  double R[3][3], best = -1;
  int pick = 0;
  for (int j = 0; j < 3; j++) {
    double n = column_norm(h->affine, j);
    for (int i = 0; i < 3; i++) R[i][j] = n > 0 ? h->affine[4 * i + j] / n : 0;
  }
  for (int k = 0; k < 6; k++) {
    double sum = fabs(R[perm[k][0]][0]) + fabs(R[perm[k][1]][1]) + fabs(R[perm[k][2]][2]);
    if (sum > best + 1e-9) {
      best = sum;
      pick = k;
    }
  }
  for (int j = 0; j < 3; j++) {
    int i = perm[pick][j];
    out[j] = "LPIRAS"[i + (R[i][j] >= 0 ? 3 : 0)];
  }
  out[3] = 0;
}
