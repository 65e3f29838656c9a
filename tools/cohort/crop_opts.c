/* crop_opts.c: see crop_opts.h */
#include "tools/cohort/crop_opts.h"
#include <stdio.h>
#include "tools/cli/tool.h"

int crop_rule_read(const CropOptions *o, const char *cmd, CropRule *r) {
  long long d[3];
  double *v = r->voxel;
  char end;
  *r = (CropRule){.map = (MapKind)o->map,
                  .min_voxels = o->min_voxels,
                  .units = (ChiUnits)o->units,
                  .to_ppm = chi_to_ppm((ChiUnits)o->units, o->field, o->te),
                  .nan = (NanRule)o->nan,
                  .regrid = o->regrid};
  if (sscanf(o->size, "%lld,%lld,%lld%c", &d[0], &d[1], &d[2], &end) != 3 || d[0] < 1 || d[1] < 1 ||
      d[2] < 1 || d[0] > 512 || d[1] > 512 || d[2] > 512)
    return tool_usage(
        cmd, "option --size: '%s' is not three numbers from 1 to 512, such as 64,64,24", o->size);
  if (sscanf(o->voxel, "%lf,%lf,%lf%c", &v[0], &v[1], &v[2], &end) != 3 ||
      !(v[0] > 0 && v[1] > 0 && v[2] > 0))
    return tool_usage(cmd, "option --voxel: '%s' is not three lengths in mm, such as 0.4,0.4,1",
                      o->voxel);
  if (o->units == UNITS_HZ && !(o->field > 0))
    return tool_usage(cmd, "--units hz needs the field of the scanner: --field 3");
  if (o->units == UNITS_RAD && !(o->field > 0 && o->te > 0))
    return tool_usage(cmd, "--units rad needs the field in tesla and the echo spacing in ms: "
                           "--field 3 --te 4.6");
  for (int c = 0; c < 3; c++) r->dim[c] = d[c];
  return EXIT_DONE;
}
