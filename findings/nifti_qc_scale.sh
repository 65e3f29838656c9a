#!/bin/sh
# Finding: nifti-qc 0.1.0, whose first check is whether qform and sform of a NIfTI file agree, does
# not see it when they differ in voxel size. It compares where voxel (0, 0, 0) lies and the turn
# between the axes, each axis brought to length 1 first. A file whose sform has slices of 3 mm and
# whose qform has 1 mm, as after a resampling that writes one of the two, is "clean", exit code 0;
# a shift of 0.01 mm is an error. nibabel 5.4.2 puts the top of 40 slices at 117 mm, SimpleITK 2.5.7
# (with a warning) at 39, and a lesion has 3 ml in the one and 1 ml in the other. Of two files whose
# affines are 78 mm apart at the top check_alignment says nothing either.
#
# usage: sh findings/nifti_qc_scale.sh. Installs the packages in a temporary folder and ends with 0
# while this is so, with 1 when a version behaves in another way.
# prlx: info warns and says by how many mm the two disagree, at the corner where it is most.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --no-deps --target "$T/p" nifti-qc==0.1.0 nibabel==5.4.2 \
  numpy==2.4.6 SimpleITK==2.5.7 packaging==26.4 typing-extensions==4.16.0 \
  importlib-resources==7.1.0 || exit 1
PYTHONPATH=$T/p
export PYTHONPATH
cd "$T" || exit 1
python3 - 2>log <<'EOF'
import subprocess
import sys

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nifti_qc.checks import check_alignment

thin, thick = np.eye(4), np.diag([1.0, 1, 3, 1])
moved = np.eye(4)
moved[0, 3] = 0.01
labels = np.zeros((20, 20, 40), np.uint8)
labels[5:15, 5:15, 10:20] = 1


def look(name, sform, qform):
    """What nifti-qc says of the file and where nibabel and SimpleITK see its last voxel."""
    image = nib.Nifti1Image(labels, sform)
    image.set_sform(sform, 1)
    image.set_qform(qform, 1)
    nib.save(image, name + ".nii")
    out = subprocess.run([sys.executable, "-m", "nifti_qc.cli", "scan", name + ".nii",
                          "--no-color"], capture_output=True, text=True)
    last = [n - 1 for n in labels.shape]
    image, other = nib.load(name + ".nii"), sitk.ReadImage(name + ".nii")
    places = float((image.affine @ [*last, 1])[2]), other.TransformIndexToPhysicalPoint(last)[2]
    volumes = [float(labels.sum() * v / 1000) for v in
               (abs(np.linalg.det(image.affine)), np.prod(other.GetSpacing()))]
    says = " ".join(out.stdout.split())
    print(f"{name}: nifti-qc exit code {out.returncode}: {says}")
    print(f"  top at {places[0]:g} mm (nibabel), {places[1]:g} (SimpleITK);"
          f" lesion {volumes[0]:g} ml, {volumes[1]:g}")
    return out.returncode, "mismatch" in says, places, image


same = look("same", thin, thin)
shift = look("shift", thin, moved)
scale = look("scale", thick, thin)
pair = check_alignment([same[3], scale[3]])
print("check_alignment of same and scale:", [str(f) for f in pair])
ok = (same[:3] == (0, False, (39, 39)) and shift[:2] == (1, True)
      and scale[:3] == (0, False, (117, 39)) and pair == [])
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
