#!/bin/sh
# Finding: nii-rs 0.1.2 reads the voxels of a .nii from byte 352 on wherever the header's
# vox_offset says that they begin, unless there are extensions in between. A file with vox_offset
# 368 and padding (legal, a multiple of 16) comes out shifted by four float voxels, its first ones
# made of padding and its last ones lost: an image that looks right and lies a few voxels off along
# x. nibabel 5.4.2 and SimpleITK 2.5.7 read it as it is.
#
# usage: sh findings/nii_rs_data_offset.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# prlx: reads from vox_offset.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile nii-rs==0.1.2 nibabel==5.4.2 SimpleITK==2.5.7 \
    numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import nibabel as nib
import nii
import numpy as np
import SimpleITK as sitk

values = np.arange(60, dtype=np.float32).reshape((5, 4, 3), order="F") + 1
seen = []
for offset in (352, 368):
    h = nib.Nifti1Header()
    h.set_data_shape(values.shape)
    h.set_data_dtype(np.float32)
    h.set_sform(np.eye(4), 1)
    h["magic"], h["vox_offset"], h["scl_slope"], h["scl_inter"] = b"n+1", offset, 1, 0
    with open("padded.nii", "wb") as f:
        f.write(h.binaryblock + bytes(offset - 348) + values.tobytes(order="F"))
    rust = np.asarray(nii.read_image("padded.nii").ndarray()).ravel()
    itk = sitk.GetArrayFromImage(sitk.ReadImage("padded.nii")).ravel()
    ours = nib.load("padded.nii").get_fdata().ravel(order="F")
    for name, v in (("nii-rs", rust), ("SimpleITK", itk), ("nibabel", ours)):
        print(f"vox_offset {offset}: {name} first", *("%g" % x for x in v[:6]), "last %g" % v[-1])
    seen.append((rust, itk, ours))
truth = values.ravel(order="F")
ok = (all((v == truth).all() for v in seen[0]) and (seen[1][1] == truth).all()
      and (seen[1][2] == truth).all() and (seen[1][0][4:] == truth[:-4]).all())
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
