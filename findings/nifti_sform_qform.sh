#!/bin/sh
# Finding: one NIfTI file, two places. SimpleITK 2.5.7 takes the qform where the sform's code is 2
# (aligned), nibabel 5.4.2 takes the sform: a header whose two valid forms differ by 3 mm, as after
# a registration that writes the sform only, lies 3 mm apart in the two, without a word from either.
# A mask drawn in one is shifted in the other. With code 1 (scanner) in the sform both take it.
#
# usage: sh findings/nifti_sform_qform.sh. Installs the two packages in a temporary folder and ends
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

found = []
for code in (1, 2):
    A = np.diag([0.4, 0.4, 1.0, 1.0])
    Q = A.copy()
    Q[0, 3] = 3.0
    im = nib.Nifti1Image(np.zeros((8, 8, 4), np.float32), A)
    im.set_sform(A, code)
    im.set_qform(Q, 1)
    nib.save(im, "two.nii")
    itk = 0.0 - sitk.ReadImage("two.nii").GetOrigin()[0]  # LPS to RAS
    ours = nib.load("two.nii").affine[0, 3]
    print(f"sform code {code}, qform code 1: first voxel at x = {itk:g} mm (SimpleITK), "
          f"{ours:g} mm (nibabel)")
    found.append(abs(itk - ours))
ok = found[0] < 1e-6 and abs(found[1] - 3) < 1e-5
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
