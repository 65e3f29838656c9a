/* convert.c: `prlx convert IN OUT`: any NIfTI volume as float32 .nii or .nii.gz, scaling applied,
 * affine kept, lengths in mm. */
#include <math.h>
#include <stdio.h>
#include "io/formats/nifti.h"
#include "io/formats/path.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

/* Wide integers that float32 cannot tell apart: a label map would change. */
static int64_t count_beyond_24_bits(const Nifti *v) {
  int64_t n = 0;
  for (int64_t i = 0; i < v->nvox; i++) n += fabsf(v->data[i]) > 0x1p24f;
  return n;
}

static void convert_notes(const Nifti *v) {
  const NiftiHeader *h = &v->head;
  bool wide_int =
      h->datatype == 8 || h->datatype == 768 || h->datatype == 1024 || h->datatype == 1280;
  int64_t lost = wide_int ? count_beyond_24_bits(v) : 0;
  if (tool_quiet) return;
  if (h->warning[0]) fprintf(stderr, "prlx convert: warning: %s\n", h->warning);
  if (h->extensions)
    fprintf(stderr, "prlx convert: note: %d header extension%s (%lld bytes) not copied\n",
            h->extensions, h->extensions > 1 ? "s" : "", (long long)h->extension_bytes);
  if (lost)
    fprintf(stderr,
            "prlx convert: warning: %lld voxels beyond 16777216 in magnitude are rounded to the "
            "next float32\n",
            (long long)lost);
  if (h->shear > 1e-5 && !h->has_qform)
    fprintf(stderr,
            "prlx convert: note: the qform written is the rotation nearest to the sheared sform, "
            "for programs that take only right angles\n");
  if (h->datatype == 64) fprintf(stderr, "prlx convert: note: float64 is rounded to float32\n");
}

int tool_convert(int argc, char **argv) {
  bool nifti2 = false;
  Opt opt[] = {
      OPT_FLAG(
          "nifti2", &nifti2, "no",
          "write NIfTI-2; else NIfTI-1, which every program reads, unless a\ndimension exceeds "
          "32767"),
  };
  OptSpec s = {.cmd = "convert",
               .summary = "rewrite a NIfTI volume as float32 with its affine kept, in mm",
               .opt = opt,
               .n = COUNT_OF(opt),
               .pos = "IN OUT",
               .pos_min = 2,
               .pos_max = 2,
               .details =
                   "IN: .nii, .nii.gz or either file of a .hdr/.img pair; OUT: .nii or .nii.gz.\n"
                   "Scaling (scl_slope, scl_inter) is applied in float64 and the result rounded "
                   "once to float32. Lengths stored in metres or micrometres become mm.\n"
                   "example: prlx convert sub-001_Chimap.hdr sub-001_Chimap.nii.gz"};
  int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  const char *in = s.args[0], *out = s.args[1];
  if (!path_has_ending(out, ".nii") && !path_has_ending(out, ".nii.gz"))
    return tool_usage("convert", "%s: expected a name that ends in .nii or .nii.gz", out);
  Nifti v;
  Error e = {0};
  if (outputs_file(out, NULL, &e) != ST_OK || nifti_read(in, &v, &e) != ST_OK)
    return tool_fail("convert", &e);
  convert_notes(&v);
  v.head.version = nifti2 ? 2 : 1;
  const Status st = nifti_write_like(out, v.data, &v.head, &e);
  if (st == ST_OK && !tool_quiet) {
    printf("%s: float32", out);
    for (int i = 1; i <= v.head.ndim; i++)
      printf("%s%lld", i > 1 ? "x" : ", ", (long long)v.head.dim[i]);
    printf(" from %s\n", nifti_datatype_name(v.head.datatype));
  }
  nifti_free(&v);
  return st == ST_OK ? EXIT_DONE : tool_fail("convert", &e);
}
