#!/bin/sh
# Finding: scl_slope 0 says "no scaling" in the NIfTI standard, whatever scl_inter holds (here 7, as
# a writer leaves it that fills one field only). Of a voxel stored as 1 nibabel 5.4.2 makes 1;
# SimpleITK 2.5.7, ANTsPy 0.6.3 and niimath 1.0.20261016 take the slope for 1 and make 8; VTK 9.7.2
# hands out slope 0 and offset 7 to be applied, and every voxel of the volume is 7. Three answers,
# and not a word: a label map read by the one and an image by the other do not belong together.
#
# usage: sh findings/nifti_zero_slope.sh. Installs the packages in a temporary folder and ends with
# 0 while this is so, with 1 when a version behaves in another way.
# prlx: as the standard says, and as nibabel.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile SimpleITK==2.5.7 antspyx==0.6.3 vtk==9.7.2 \
    niimath==1.0.20261016 nibabel==5.4.2 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import subprocess

import ants
import nibabel as nib
import numpy as np
import SimpleITK as sitk
import vtk
from vtk.util.numpy_support import vtk_to_numpy

values = np.arange(60, dtype=np.int16).reshape((5, 4, 3), order="F")
h = nib.Nifti1Header()
h.set_data_shape(values.shape)
h.set_data_dtype(np.int16)
h.set_sform(np.eye(4), 1)
h["magic"], h["vox_offset"], h["scl_slope"], h["scl_inter"] = b"n+1", 352, 0, 7
with open("zero.nii", "wb") as f:
    f.write(h.binaryblock + bytes(4) + values.tobytes(order="F"))
r = vtk.vtkNIFTIImageReader()
r.SetFileName("zero.nii")
r.Update()
raw = vtk_to_numpy(r.GetOutput().GetPointData().GetScalars())
subprocess.run(["v/bin/niimath", "zero.nii", "-gz", "0", "-mul", "1", "out.nii"], check=True)
first = {
    "nibabel": nib.load("zero.nii").get_fdata().ravel(order="F")[1],
    "SimpleITK": sitk.GetArrayFromImage(sitk.ReadImage("zero.nii")).ravel()[1],
    "ANTsPy": ants.image_read("zero.nii").numpy().ravel(order="F")[1],
    "VTK": raw[1] * r.GetRescaleSlope() + r.GetRescaleIntercept(),
    "niimath": nib.load("out.nii").get_fdata().ravel(order="F")[1],
}
print("stored 1, slope 0, offset 7:", ", ".join(f"{k} {v:g}" for k, v in first.items()))
ok = (first.pop("nibabel") == 1 and first.pop("VTK") == 7
      and all(v == 8 for v in first.values()))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
