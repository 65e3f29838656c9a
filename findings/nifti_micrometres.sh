#!/bin/sh
# Finding: nibabel 5.4.2 leaves a NIfTI header in micrometres as it is: its affine, documented as a
# map to millimetres, is 1000 times that of SimpleITK 2.5.7, which scales by the unit in xyzt_units.
# Masks and maps of such a file meet in one program and miss each other in the other.
#
# usage: sh findings/nifti_micrometres.sh. Installs the two packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

im = nib.Nifti1Image(np.zeros((8, 8, 4), np.float32), np.diag([400.0, 400.0, 1000.0, 1.0]))
im.header.set_xyzt_units("micron")
nib.save(im, "um.nii")
itk = sitk.ReadImage("um.nii").GetSpacing()[0]
ours = nib.load("um.nii").affine[0, 0]
print(f"a voxel of 400 micrometres: {itk:g} (SimpleITK), {ours:g} (nibabel)")
ok = abs(itk - 0.4) < 1e-6 and abs(ours - 400) < 1e-3
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
