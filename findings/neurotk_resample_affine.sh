#!/bin/sh
# Finding: neurotk 0.3.4 preprocess --spacing writes volumes that lie elsewhere than their header
# says. It stretches the voxels so that first and last centre stay (scipy's zoom) and puts the
# target spacing, with the old origin, into the affine. 30 slices of 5 mm brought to 1 mm are 150
# that cover 145 mm and claim 149: the error grows from 0 at the first to 4 mm at the last slice. In
# a scan whose values are its own height in mm, 145 is found at 149; a lesion near the top moves
# by 3.5 mm, and one of 432 ml has 446. A label map of 1 mm, drawn on the same scan, stays where it
# is and no longer fits its image. The report gives the new spacing and says of the old one that it
# is anisotropic, no more. nibabel 5.4.2 (resample_to_output) keeps everything in its place.
#
# usage: sh findings/neurotk_resample_affine.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
# prlx: crop refuses labels of another grid, or takes them through the affines with --regrid.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --no-deps --target "$T/p" neurotk==0.3.4 nibabel==5.4.2 \
  numpy==2.4.6 scipy==1.17.1 packaging==26.4 typing-extensions==4.16.0 \
  importlib-resources==7.1.0 || exit 1
PYTHONPATH=$T/p
export PYTHONPATH
cd "$T" || exit 1
cat >make.py <<'EOF'
import os

import nibabel as nib
import numpy as np

os.makedirs("images")
os.makedirs("labels")
thick, thin = np.diag([1.0, 1, 5, 1]), np.eye(4)
scan = np.zeros((100, 100, 30), np.float32) + 5 * np.arange(30, dtype=np.float32)
lesions = np.zeros(scan.shape, np.uint8)
lesions[10:16, 10:16, 2:5] = 1
lesions[10:16, 10:16, 25:28] = 2
lesions[20:80, 20:80, 3:27] = 3
fine = np.zeros((100, 100, 146), np.uint8)
fine[10:16, 10:16, 130] = 2
for name, labels, affine in (("coarse", lesions, thick), ("fine", fine, thin)):
    nib.save(nib.Nifti1Image(scan, thick), f"images/{name}.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), f"labels/{name}.nii.gz")
EOF
cat >look.py <<'EOF'
import json

import nibabel as nib
import numpy as np
from nibabel.processing import resample_to_output


def height(image, label):
    places = np.argwhere(np.asarray(image.dataobj) == label).mean(0)
    return float((image.affine @ [*places, 1])[2])


def millilitres(image, label):
    count = np.count_nonzero(np.asarray(image.dataobj) == label)
    return float(count * abs(np.linalg.det(image.affine)) / 1000)


def misfit(image):
    """The value of the last slice, which is a height, and the height that the header gives it."""
    last = image.shape[2] - 1
    return float(image.get_fdata()[5, 5, last]), float((image.affine @ [5, 5, last, 1])[2])


before = nib.load("labels/coarse.nii.gz")
after = nib.load("out/labels/coarse.nii.gz")
scan = nib.load("images/coarse.nii.gz")
mended = nib.load("out/images/coarse.nii.gz")
print(f"the scan: {scan.shape}, the last slice holds {misfit(scan)[0]:g}"
      f" and lies at {misfit(scan)[1]:g} mm")
print(f"neurotk: {mended.shape}, the last slice holds {misfit(mended)[0]:g}"
      f" and lies at {misfit(mended)[1]:g} mm")
right = resample_to_output(scan, (1, 1, 1), order=1)
print(f"nibabel: {right.shape}, the last slice holds {misfit(right)[0]:g}"
      f" and lies at {misfit(right)[1]:g} mm")
moved = {}
for label in (1, 2):
    moved[label] = height(after, label) - height(before, label)
    print(f"lesion {label}: centre at {height(before, label):.1f} mm, then at"
          f" {height(after, label):.1f} mm")
volume = [millilitres(x, 3) for x in (before, after)]
print(f"volume of lesion 3: {volume[0]:.1f} ml, then {volume[1]:.1f} ml")
fine = nib.load("out/labels/fine.nii.gz")
place = tuple(np.argwhere(np.asarray(fine.dataobj) == 2)[0])
under = float(nib.load("out/images/fine.nii.gz").get_fdata()[place])
print(f"a label of 1 mm at {height(fine, 2):g} mm lies on a voxel that holds {under:.1f}")
with open("out/preprocess_report.json") as f:
    report = json.load(f)["files"]
said = sorted({w for entry in report.values() for w in entry["warnings"] + entry["errors"]})
print("new spacing:", report["coarse.nii.gz"]["image"]["new_spacing"], "said:", said)
ok = (misfit(scan) == (145, 145) and abs(misfit(mended)[0] - 145) < 1e-3
      and misfit(mended)[1] == 149 and abs(misfit(right)[0] - misfit(right)[1]) < 1e-3
      and 0 <= moved[1] < 1 and 3 < moved[2] < 4 and volume[1] > 1.02 * volume[0]
      and 3 < 130 - under < 4 and set(said) <= {"input_spacing_anisotropic"})
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
python3 make.py &&
  python3 -m neurotk.cli preprocess --images images --labels labels --out out --spacing 1 1 1 \
    >log 2>&1 || { cat log && exit 1; }
python3 look.py
