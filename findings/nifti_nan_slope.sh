#!/bin/sh
# Finding: masks with scl_slope NaN are about (fMRIPrep 20.2 wrote them, its issue 2507). The
# stored labels come out of nibabel 5.4.2, SimpleITK 2.5.7 and niimath 1.0.20261016 as they are;
# VTK 9.7.2, with its own slope and offset applied as its manual says, nii-rs 0.1.2 and nifti-lite
# 0.1.0 give NaN in every voxel, so that "> 0" finds an empty mask and no lesion, and nothing is
# said.
#
# usage: sh findings/nifti_nan_slope.sh. Installs the packages in a temporary folder and ends with
# 0 while this is so, with 1 when a version behaves in another way.
# prlx: reads the labels.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile SimpleITK==2.5.7 vtk==9.7.2 niimath==1.0.20261016 \
    nii-rs==0.1.2 nifti-lite==0.1.0 nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - <<'EOF'
import subprocess

import nibabel as nib
import nifti_lite
import nii
import numpy as np
import SimpleITK as sitk
import vtk
from vtk.util.numpy_support import vtk_to_numpy

labels = (np.arange(60) % 3).astype(np.uint8).reshape((5, 4, 3), order="F")
h = nib.Nifti1Header()
h.set_data_shape(labels.shape)
h.set_data_dtype(np.uint8)
h.set_sform(np.eye(4), 1)
h["magic"], h["vox_offset"], h["scl_slope"], h["scl_inter"] = b"n+1", 352, np.nan, np.nan
with open("mask.nii", "wb") as f:
    f.write(h.binaryblock + bytes(4) + labels.tobytes(order="F"))
r = vtk.vtkNIFTIImageReader()
r.SetFileName("mask.nii")
r.Update()
raw = vtk_to_numpy(r.GetOutput().GetPointData().GetScalars())
subprocess.run(["v/bin/niimath", "mask.nii", "-gz", "0", "-mul", "1", "out.nii"], check=True)
volumes = {
    "nibabel": nib.load("mask.nii").get_fdata(),
    "SimpleITK": sitk.GetArrayFromImage(sitk.ReadImage("mask.nii")),
    "niimath": nib.load("out.nii").get_fdata(),
    "VTK": raw * r.GetRescaleSlope() + r.GetRescaleIntercept(),
    "nii-rs": np.asarray(nii.read_image("mask.nii").ndarray()),
    "nifti-lite": nifti_lite.load_data("mask.nii"),
}
count = {name: int((v > 0).sum()) for name, v in volumes.items()}
print("voxels > 0:", ", ".join(f"{k} {v}" for k, v in count.items()))
ok = (list(count.values()) == [40, 40, 40, 0, 0, 0]
      and all(np.isnan(volumes[k]).all() for k in ("VTK", "nii-rs", "nifti-lite")))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
