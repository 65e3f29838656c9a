#!/bin/sh
# Finding: the oblique data sets of qsm-forward 0.32 with voxels that are not cubes have a sheared
# affine. For voxels of 1 x 1 x 2 mm and B0 tilted by 16.7 degrees the header says 1 x 1 x 1.937
# mm, and two of its axes enclose 81.8 degrees, not 90: scaling and rotation are put together in
# the wrong order. nibabel 5.4.2 reads the file and is silent, SimpleITK 2.5.7 refuses it
# (directions are not orthonormal), and a pipeline that takes voxel size or B0 from the file gets
# others than those that the simulation was made with. With cubes all is well.
#
# usage: sh findings/qsm_forward_sheared_affine.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
# prlx: reads it; info and crop say that the axes are not at right angles.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile qsm-forward==0.32 nibabel==5.4.2 SimpleITK==2.5.7 \
    numpy==2.4.6 || exit 1
cd "$T" || exit 1
for z in 1 2; do
  "$T/v/bin/qsm-forward" simple "$T/b$z" --resolution 24 24 24 --small-cylinder-radii 1 1 1 2 \
    --B0-dir 0 0.28734789 0.95782629 --voxel-size 1 1 $z >"$T/log" 2>&1 || exit 1
done
"$T/v/bin/python" - <<'EOF'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

seen = []
for z in (1, 2):
    file = f"b{z}/derivatives/qsm-forward/sub-1/anat/sub-1_Chimap.nii"
    im = nib.load(file)
    A = im.affine[:3, :3]
    size = np.linalg.norm(A, axis=0)
    axes = A / size
    angle = np.degrees(np.arccos(axes[:, 1] @ axes[:, 2]))
    try:
        sitk.ReadImage(file)
        itk = "reads it"
    except RuntimeError as e:
        itk = "refuses: " + str(e).strip().split("ITK ERROR: ")[-1].splitlines()[0]
    print(f"asked 1 x 1 x {z}, B0 tilted by 16.7 degrees: voxels "
          + " x ".join("%.4g" % v for v in size)
          + f", axes at {angle:.1f} degrees; SimpleITK {itk}")
    seen.append((size[2], angle, itk))
ok = (abs(seen[0][0] - 1) < 1e-4 and abs(seen[0][1] - 90) < 0.01 and seen[0][2] == "reads it"
      and abs(seen[1][0] - 2) > 0.05 and abs(seen[1][1] - 90) > 5
      and "orthonormal" in seen[1][2])
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
