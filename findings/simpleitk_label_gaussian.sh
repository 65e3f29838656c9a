#!/bin/sh
# Finding: SimpleITK 2.5.7 has sitkLabelGaussian for resampling label maps, and it deletes small
# lesions even where nothing is to be resampled. Put through Resample with no transform onto its own
# grid, a lesion of 1 voxel or of 2 x 2 x 2 voxels is gone, 2 x 3 x 3 keeps 10 of 18 voxels and
# 3 x 3 x 3 keeps 19 of 27, whatever the voxel size. On a grid twice as fine the losses are larger.
# Each label is blurred by 0.8 voxels and the strongest one wins, which small ones never do. So a
# count of lesions falls, and a lesion volume with it, the more the smaller the lesions are;
# sitkLabelLinear keeps the first grid as it is.
#
# usage: sh findings/simpleitk_label_gaussian.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
# Seen, same grid: 1, 8, 18, 27, 64 voxels become 0, 0, 10, 19, 56; grid twice as fine, in voxels of
# the first: 0, 0, 8, 16, 50.
# prlx: crop takes labels of another grid by nearest voxel and keeps lesions thinner than a voxel.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile SimpleITK==2.5.7 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import numpy as np
import SimpleITK as sitk

sizes = [(1, 1, 1), (2, 2, 2), (2, 3, 3), (3, 3, 3), (4, 4, 4)]
labels = np.zeros((16, 16, 16 * len(sizes)), np.uint8)
for i, (z, y, x) in enumerate(sizes):
    labels[6:6 + z, 6:6 + y, 16 * i + 6:16 * i + 6 + x] = i + 1
methods = {"nearest": sitk.sitkNearestNeighbor, "LabelGaussian": sitk.sitkLabelGaussian,
           "LabelLinear": sitk.sitkLabelLinear}
seen = {}
for voxel in ((1, 1, 1), (0.5, 0.5, 2)):
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(voxel)
    for finer in (1, 2):
        grid = sitk.Image([n * finer for n in image.GetSize()], sitk.sitkUInt8)
        grid.SetSpacing([v / finer for v in voxel])
        grid.SetOrigin([(v / finer - v) / 2 for v in voxel])
        for name, method in methods.items():
            out = sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), method))
            kept = [float((out == i + 1).sum()) / finer**3 for i in range(len(sizes))]
            seen[voxel, finer, name] = kept
            print("voxels of %g x %g x %g mm," % voxel,
                  "same grid" if finer == 1 else "grid twice as fine", name + ":",
                  *("%g" % k for k in kept), "of", *(int(np.prod(s)) for s in sizes))
all_of_them = [float(np.prod(s)) for s in sizes]
ok = all(seen[v, 1, "LabelGaussian"] == [0, 0, 10, 19, 56]
         and seen[v, 2, "LabelGaussian"] == [0, 0, 8, 16, 50]
         and seen[v, 1, "LabelLinear"] == seen[v, 1, "nearest"] == all_of_them
         for v in ((1, 1, 1), (0.5, 0.5, 2)))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
