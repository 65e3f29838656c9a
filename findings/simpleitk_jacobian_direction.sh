#!/bin/sh
# Finding: DisplacementFieldJacobianDeterminant of SimpleITK 2.5.7 forgets the image direction: it
# differentiates along the axes of the grid a displacement that is given along those of the patient.
# An expansion of everything by 10 % has the determinant 1.331 everywhere. So it comes out on a grid
# in ITK's own axes (LPS); on a grid in RAS, as many NIfTI files are, it is 0.891, a shrinkage; with
# one axis turned (LAS) 1.089, sagittal 1.001, tilted by 17 degrees 1.321. A study of slowly
# expanding lesions reads the opposite of what is there. (Reported to ITK in 2025, issue 5358, and
# mended there; this SimpleITK of October 2026 still has it.)
#
# usage: sh findings/simpleitk_jacobian_direction.sh. Installs the package in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile SimpleITK==2.5.7 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import numpy as np
import SimpleITK as sitk

expansion = sitk.AffineTransform(3)
expansion.Scale(1.1)
c, s = np.cos(0.3), np.sin(0.3)
grids = {
    "LPS": np.eye(3),
    "RAS": np.diag([-1.0, -1, 1]),
    "LAS": np.diag([1.0, -1, 1]),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "tilted": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
}
found = {"LPS": 1.331, "RAS": 0.891, "LAS": 1.089, "sagittal": 1.001, "tilted": 1.321}
ok = True
for name, direction in grids.items():
    field = sitk.TransformToDisplacementField(expansion, sitk.sitkVectorFloat64, [16] * 3,
                                              [0.0] * 3, [1.0, 1.0, 2.0], direction.ravel())
    det = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))[4:12, 4:12, 4:12]
    print(f"{name}: {det.mean():.3f}, 1.331 is right")
    ok = ok and abs(det - found[name]).max() < 6e-4
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
