#!/bin/sh
# Finding: a NIfTI volume put through nii2dcm 0.1.6 (-d MR) lies elsewhere in the patient. It
# writes the offset of the NIfTI affine (millimetres to right, anterior, superior) as
# ImagePositionPatient (left, posterior, superior) without turning the two signs, and the slices
# come one slice thickness too low. A lesion at (-7, -16, 9) is found at (13, 24, 7) when the
# series is read again: the error is twice the offset, 45 mm here, and the orientation vectors
# beside it are right.
#
# usage: sh findings/nii2dcm_position.sh. Installs the packages in a temporary folder and ends with
# 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile nii2dcm==0.1.6 SimpleITK==2.5.7 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import os
import subprocess

import nibabel as nib
import numpy as np
import SimpleITK as sitk

where = {100: (3, 4, 2), 200: (5, 6, 1), 300: (8, 8, 3)}
volume = np.zeros((16, 12, 5), np.float32)
for value, voxel in where.items():
    volume[voxel] = value
shift = []
for offset in ((0, 0, 0), (-10, -20, 5)):
    affine = np.diag([1.0, 1, 2, 1])
    affine[:3, 3] = offset
    nib.save(nib.Nifti1Image(volume, affine), "in.nii.gz")
    out = "at%g" % offset[0]
    os.mkdir(out)
    subprocess.run(["v/bin/nii2dcm", "in.nii.gz", out, "-d", "MR"], check=True, capture_output=True)
    r = sitk.ImageSeriesReader()
    r.SetFileNames(r.GetGDCMSeriesFileNames(out))
    series = r.Execute()
    array = sitk.GetArrayFromImage(series)
    for value, voxel in where.items():
        index = [int(i) for i in np.argwhere(array == value)[0][::-1]]
        there = np.array(series.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        truth = (affine @ [*voxel, 1])[:3]
        print(f"offset {offset}: voxel {voxel} at {tuple(truth.tolist())} mm is at "
              f"{tuple(there.tolist())} mm in the series")
        shift.append(there - truth)
ok = (np.allclose(shift[:3], [0, 0, -2], atol=1e-3)
      and np.allclose(shift[3:], [20, 40, -2], atol=1e-3))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
