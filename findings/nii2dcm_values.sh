#!/bin/sh
# Finding: nii2dcm 0.1.6 (-d MR) makes an empty series of a susceptibility map: it cuts the values
# to whole numbers from 0 to 65535, with slope 1 and offset 0 in the header, so that a map in ppm
# is 0 in every pixel, and says "DICOM files written". The same map in ppb keeps its positive
# values; negative ones, vein next to calcification, wrap round: -300 is stored as 65236, and as
# the header promises 12 bits, pydicom 2.3.0 shows that pixel as 65236 and SimpleITK 2.5.7 as 3796.
#
# usage: sh findings/nii2dcm_values.sh. Installs the packages in a temporary folder and ends with 0
# while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile nii2dcm==0.1.6 SimpleITK==2.5.7 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import glob
import os
import subprocess

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk

ppb = np.zeros((16, 12, 5), np.float32)
ppb[3, 4, 2], ppb[5, 6, 2], ppb[8, 8, 2] = 400, -300, 120.7
seen = {}
for unit, volume in (("ppb", ppb), ("ppm", ppb / 1000)):
    nib.save(nib.Nifti1Image(volume, np.diag([1, 1, 2, 1])), unit + ".nii.gz")
    os.mkdir(unit)
    subprocess.run(["v/bin/nii2dcm", unit + ".nii.gz", unit, "-d", "MR"], check=True,
                   capture_output=True)
    dicom, itk = set(), set()
    for file in glob.glob(unit + "/*.dcm"):
        d = pydicom.dcmread(file)
        v = d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept)
        dicom |= set(int(x) for x in v.ravel())
        itk |= set(int(x) for x in sitk.GetArrayFromImage(sitk.ReadImage(file)).ravel())
    print(f"{unit}: values {sorted(set(float('%g' % x) for x in volume.ravel()))} become "
          f"{sorted(dicom)} (pydicom), {sorted(itk)} (SimpleITK); BitsStored {d.BitsStored}")
    seen[unit] = (sorted(dicom), sorted(itk))
ok = (seen["ppm"] == ([0], [0]) and seen["ppb"] == ([0, 120, 400, 65236], [0, 120, 400, 3796]))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
