#!/bin/sh
# Finding: lesion-metrics 0.1.12, made for the measures of the ISBI 2015 challenge of multiple
# sclerosis lesions, gives the lesion-wise false discovery rate for the lesion-wise true positive
# rate. Metrics.from_filenames, one call for all measures of two files, works out both and then
# unpacks the first one twice: ltpr is lfdr, the number of true lesions is that of the predicted
# ones. A perfect segmentation has an ltpr of 0 and an ISBI score of 0.67 for 1; with a false lesion
# beside each of the ten it has 0.5, and one of false lesions only has 1, as if it had found all. In
# the score the two rates cancel each other: a quarter, whatever was found. Nothing warns; ltpr and
# lfdr called by themselves, and the program on the command line, are right.
#
# usage: sh findings/lesion_metrics_ltpr.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile lesion-metrics==0.1.12 pymedio==0.1.9 numpy==1.26.4 \
    nibabel==3.2.2 pandas==1.5.3 pydicom==2.4.5 SimpleITK==2.5.7 scikit-image==0.26.0 \
    scipy==1.17.1 setuptools==79.0.1 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - <<'EOF'
import nibabel as nib
import numpy as np
from lesion_metrics.helper import Metrics
from lesion_metrics.metrics import lfdr, ltpr
from scipy.ndimage import label

places = range(3, 53, 5)


def lesions(true, false):
    """So many of the ten true lesions, and so many others beside them."""
    mask = np.zeros((60, 24, 24), np.uint8)
    for n, y in ((true, 12), (false, 3)):
        for x in places[:n]:
            mask[x:x + 3, y:y + 3, 10:13] = 1
    return mask


def by_definition(truth, found):
    """Share of the true lesions that were found and of the found ones that are false."""
    (a, n), (b, m) = label(truth), label(found)
    hit = sum(bool(found[a == i].any()) for i in range(1, n + 1))
    false = sum(not truth[b == i].any() for i in range(1, m + 1))
    return hit / n, false / m


truth = lesions(10, 0)
nib.save(nib.Nifti1Image(truth, np.eye(4)), "truth.nii.gz")
ok = True
for name, found, seen in (("perfect", lesions(10, 0), 0.0), ("ten false", lesions(10, 10), 0.5),
                          ("2 of 10", lesions(2, 0), 0.0), ("all false", lesions(0, 10), 1.0)):
    nib.save(nib.Nifti1Image(found, np.eye(4)), "found.nii.gz")
    m = Metrics.from_filenames("found.nii.gz", "truth.nii.gz")
    rate, false = by_definition(truth, found)
    score = (m.dice / 8 + m.ppv / 8 + (1 - false) / 4 + rate / 4) * 4 / 3
    print(f"{name}: ltpr {m.ltpr:.2f} for {rate:.2f}, lfdr {m.lfdr:.2f} for {false:.2f}, ISBI score"
          f" {m.isbi15_score:.3f} for {score:.3f}, true lesions {m.truth_count} for 10")
    ok &= m.ltpr == m.lfdr == false == seen and m.truth_count == m.pred_count == label(found)[1]
    ok &= abs(m.isbi15_score - (m.dice / 8 + m.ppv / 8 + 1 / 4) * 4 / 3) < 1e-9
    ok &= (ltpr(found, truth), lfdr(found, truth)) == (rate, false)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
