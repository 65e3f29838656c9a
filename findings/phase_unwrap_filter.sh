#!/bin/sh
# Finding: what phase-unwrap 2.0.0 writes is not the unwrapped phase but that phase with its sign
# turned and high-pass filtered, and neither its manual nor its help says so. Stripes of 1 radian,
# without a single wrap, come out with -0.02 of their amplitude at 2 periods across the image, -0.39
# at 10 and -0.72 at 16: -(1 - exp(-f^2/200)) for f periods. What was dark around a lesion is
# bright, and as the filter counts periods per image, not per millimetre, stripes of 16 voxels keep
# 0.08 of their height in 64 voxels and 0.72 in 256: the contrast of a rim depends on how much air
# the scan has around the head. The manual names studies of phase rim lesions made with it.
#
# usage: sh findings/phase_unwrap_filter.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --target "$T/p" phase-unwrap==2.0.0 \
  nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
PATH=$T/p/bin:$PATH PYTHONPATH=$T/p python3 - <<'EOF'
import subprocess

import nibabel as nib
import numpy as np

ok = True
for n, periods in ((128, 2), (128, 10), (128, 16), (64, 4), (256, 16)):
    x, y, z = np.indices((n, n, 2))
    stripes = np.cos(2 * np.pi * periods * x / n)
    nib.save(nib.Nifti1Image(stripes.astype(np.float32), np.eye(4)), "phase.nii.gz")
    subprocess.run(["unwrap-phase", "phase.nii.gz", "-o", "out.nii.gz"], check=True,
                   capture_output=True)
    out = nib.load("out.nii.gz").get_fdata()
    kept = (out * stripes).sum() / (stripes**2).sum()
    rest = abs(out - kept * stripes).max()
    found = -(1 - np.exp(-periods**2 / 200))
    print(f"{n} voxels, {periods} periods of {n / periods:.1f} voxels: {kept:.3f} of the "
          f"amplitude, the formula {found:.3f}, the rest below {rest:.0e}")
    ok = ok and abs(kept - found) < 0.01 and rest < 0.05
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
