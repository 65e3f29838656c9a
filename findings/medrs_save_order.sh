#!/bin/sh
# Finding: medrs 0.2.0 saves other images than it has in memory after crop_or_pad and after flip.
# A cut or padded image goes to the file in C order, last axis fastest, where NIfTI has the first;
# sizes and affine are right, and nothing is said. A mask cut to 8 x 8 x 4 keeps its 45 voxels, and
# 6 of them lie in the lesion; cut to a cube, x and z are swapped. A flipped image is saved as it
# was before. Uncut, or cut while loading (load_cropped), all is well. So a patch that looks right
# in the notebook trains a network as noise when it comes back from disk, by medrs itself or by
# nibabel 5.4.2.
#
# usage: sh findings/medrs_save_order.sh. Installs the packages in a temporary folder and ends with
# 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --target "$T/p" medrs==0.2.0 \
  nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
PYTHONPATH=$T/p python3 - <<'EOF'
import medrs
import nibabel as nib
import numpy as np

labels = np.zeros((12, 10, 8), np.uint8)
labels[3:8, 4:7, 2:5] = 1
ok = True
for dtype in (np.uint8, np.int16, np.float32):
    whole = labels.astype(dtype)
    nib.save(nib.Nifti1Image(whole, np.diag([1.0, 1.0, 2.0, 1.0])), "whole.nii")
    image = medrs.load("./whole.nii")
    patch = whole[2:10, 1:9, 2:6]
    cube = whole[3:9, 2:8, 1:7]
    while_loading = medrs.load_cropped("./whole.nii", [2, 1, 2], [8, 8, 4])
    cases = (("as it is", image, whole, whole),
             ("load_cropped", while_loading, patch, patch),
             ("crop_or_pad 8 x 8 x 4", image.crop_or_pad([8, 8, 4]), patch,
              patch.ravel(order="C").reshape(patch.shape, order="F")),
             ("crop_or_pad 6 x 6 x 6", image.crop_or_pad([6, 6, 6]), cube, cube.transpose()),
             ("flip of x", image.flip([0]), whole[::-1], whole))
    for name, made, right, found in cases:
        made.save("./out.nii")
        file = nib.load("out.nii").get_fdata()
        again = medrs.load("./out.nii").to_numpy()
        said = ["right" if np.array_equal(v, right) else "wrong" for v in (made.to_numpy(), file)]
        print(f"{np.dtype(dtype).name}, {name}: in memory {said[0]}, in the file {said[1]}, "
              f"{np.count_nonzero(file)} voxels, {np.count_nonzero(file * right)} in the lesion")
        ok = (ok and said[0] == "right" and np.array_equal(file, found)
              and np.array_equal(again, file))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
