#!/bin/sh
# Finding: nibabel 5.4.2 adds scl_inter of a complex NIfTI volume to the real part only; the
# standard (nifti1.h, "Data scaling") applies slope and offset to the real and to the imaginary
# part. With slope 0.5 and offset -1024, parts stored as unsigned numbers about 2048, the voxel
# stored as 2148+2248i stands for 50+100i; get it from nibabel and it is 50+1124i: the phase, from
# which a susceptibility map is made, is 87.5 degrees for 63.4, and no voxel warns.
#
# usage: sh findings/nifti_complex_scaling.sh. Installs the package in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# prlx: refuses complex voxels.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import nibabel as nib
import numpy as np

stored = np.array([2148 + 2248j, 2048, 2048 + 2048j], np.complex64)
h = nib.Nifti1Header()
h.set_data_shape((3, 1, 1))
h.set_data_dtype(np.complex64)
h.set_sform(np.eye(4), 1)
h["magic"], h["vox_offset"], h["scl_slope"], h["scl_inter"] = b"n+1", 352, 0.5, -1024
with open("complex.nii", "wb") as f:
    f.write(h.binaryblock + bytes(4) + stored.tobytes())
standard = 0.5 * stored - 1024 * (1 + 1j)
ours = np.asanyarray(nib.load("complex.nii").dataobj).ravel()
for x, a, b in zip(stored, standard, ours):
    print(f"stored {x:g}: {a:g}, phase {np.degrees(np.angle(a)):.1f} by the standard; "
          f"{b:g}, phase {np.degrees(np.angle(b)):.1f} in nibabel")
ok = list(ours) == list(0.5 * stored - 1024)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
