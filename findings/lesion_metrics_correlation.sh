#!/bin/sh
# Finding: the volume correlation of the program of lesion-metrics 0.1.12 (-c) is not that of the
# volumes. It appends mean, standard deviation, minimum, quartiles and maximum to the two columns
# for its table and correlates what it then has, seven rows of which are no patients. Predicted and
# true lesion volumes of six patients that have no correlation (0.03) have one of 0.53, exactly
# reversed ones (-1.00) one of 0.03, and three patients with -0.50 become 0.48. The fewer patients,
# the more it is made of summaries. The correlation of lesion counts beside it likewise. In the log
# it stands as "Volume correlation", nothing warns, and corr of lesion_metrics.metrics is right.
#
# usage: sh findings/lesion_metrics_correlation.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile lesion-metrics==0.1.12 pymedio==0.1.9 numpy==1.26.4 \
    nibabel==3.2.2 pandas==1.5.3 pydicom==2.4.5 SimpleITK==2.5.7 scikit-image==0.26.0 \
    scipy==1.17.1 setuptools==79.0.1 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - <<'EOF'
import os
import subprocess

import nibabel as nib
import numpy as np
import pandas as pd
from lesion_metrics.metrics import corr

six, three = [100, 200, 300, 400, 500, 600], [100, 200, 300]


def program(name, true, found):
    """Patients with one lesion each, of so many voxels of 1 mm, put through the program."""
    for folder, volumes in ((f"{name}/truth", true), (f"{name}/found", found)):
        os.makedirs(folder)
        for i, volume in enumerate(volumes):
            mask = np.zeros((40, 40, 20), np.uint8)
            mask.reshape(-1)[:volume] = 1
            nib.save(nib.Nifti1Image(mask, np.eye(4)), f"{folder}/patient{i}.nii.gz")
    subprocess.run(["v/bin/lesion-metrics", "-p", f"{name}/found", "-t", f"{name}/truth", "-c",
                    "-o", f"{name}.csv"], check=True)
    table = pd.read_csv(f"{name}.csv")
    return table["Vol. Correlation"][0], table["Pred. Vol."], table["Truth. Vol."]


ok = True
for name, true, found in (("equal", six, six), ("unrelated", six, [100, 400, 600, 500, 300, 200]),
                          ("reversed", six, six[::-1]), ("three", three, [200, 300, 100])):
    says, a, b = program(name, true, found)
    right = np.corrcoef(true, found)[0, 1]
    with_rows = np.corrcoef(a, b)[0, 1]
    print(f"{name}: the program says {says:.2f}; of its {len(true)} patients {right:.2f},"
          f" of all {len(a)} rows of its table {with_rows:.2f}")
    ok &= len(a) == len(true) + 7 and abs(says - with_rows) < 1e-9
    ok &= abs(corr(found, true) - right) < 1e-9
    ok &= name == "equal" or says > right + 0.2
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
