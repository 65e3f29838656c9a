#!/bin/sh
# Finding: picsl-greedy 1.4.0.3 has two ways to the Jacobian determinant of a warp, and they
# disagree. "-rj" beside "-r", which one takes to get it in the same run as the resliced images,
# differentiates millimetres by voxels and ignores the axes: an expansion of everything by 10 %
# (determinant 1.331) comes out as 1.158 in voxels of 0.5 mm, 1.452 in voxels of 1 x 1 x 2 mm, 0.891
# (a shrinkage) in RAS axes, and right in voxels of 1 mm in LPS axes only. "-jac" on the same file
# gives 1.331 each time. Expansion rates of lesions made with -rj depend on how the scan was
# stored. (Described by lesiontrack 0.2.0, which computes its own since.)
#
# usage: sh findings/greedy_reslice_jacobian.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile picsl-greedy==1.4.0.3 SimpleITK==2.5.7 numpy==2.4.6 ||
  exit 1
cd "$T" || exit 1
cat >expand.py <<'EOF'
import sys

import numpy as np
import SimpleITK as sitk
from picsl_greedy import Greedy3D

expansion = sitk.AffineTransform(3)
expansion.Scale(1.1)
grids = {
    "LPS, 1 x 1 x 1 mm": ([1.0, 1, 1], [1.0, 1, 1], 1.331),
    "LPS, 0.5 x 0.5 x 0.5 mm": ([1.0, 1, 1], [0.5, 0.5, 0.5], 1.157625),
    "LPS, 1 x 1 x 2 mm": ([1.0, 1, 1], [1.0, 1, 2], 1.452),
    "RAS, 1 x 1 x 1 mm": ([-1.0, -1, 1], [1.0, 1, 1], 0.891),
}
ok = True
for name, (axes, voxel, found) in grids.items():
    field = sitk.TransformToDisplacementField(expansion, sitk.sitkVectorFloat64, [24] * 3,
                                              [-11.5 * a * v for a, v in zip(axes, voxel)],
                                              voxel, np.diag(axes).ravel())
    image = sitk.Image([24] * 3, sitk.sitkFloat32)
    image.CopyInformation(field)
    sitk.WriteImage(field, "warp.nii")
    sitk.WriteImage(image, "image.nii")
    greedy = Greedy3D()
    greedy.execute("-rf image.nii -r warp.nii -rj rj.nii")
    greedy.execute("-jac warp.nii jac.nii")
    rj, jac = (sitk.GetArrayFromImage(sitk.ReadImage(f))[8:16, 8:16, 8:16]
               for f in ("rj.nii", "jac.nii"))
    print(f"{name}: {rj.mean():.3f} (-rj), {jac.mean():.3f} (-jac), 1.331 is right",
          file=sys.stderr)
    ok = ok and abs(rj - found).max() < 1e-3 and abs(jac - 1.331).max() < 1e-3
print("as found" if ok else "changed", file=sys.stderr)
raise SystemExit(0 if ok else 1)
EOF
"$T/v/bin/python" expand.py 2>&1 >"$T/log"
