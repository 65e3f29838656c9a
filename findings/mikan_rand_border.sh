#!/bin/sh
# Finding: mikan-rs 0.1.4, whose manual says that its results agree with medpy, has two metrics that
# are others than their names. adjust_rand_score is Cohen's kappa to the last digit: 0.753 for two
# overlapping lesions whose adjusted Rand index (pairs of voxels) is 0.742, and 0.070 for 0.063. And
# voxels at the border of the image are no surface: a lesion that a patch cuts is open on that side.
# For a prediction of 12 x 12 x 12 voxels in the corner of a patch the Hausdorff distance is 11.4,
# SimpleITK 2.5.7 and the definition give 13.9; with one empty voxel around the same patch mikan
# gives 13.9 as well, an HD95 of 11.5 for 9.5 and an average distance of 7.2 for 5.1. Nothing warns.
#
# usage: sh findings/mikan_rand_border.sh. Installs the packages in a temporary folder and ends with
# 0 while this is so, with 1 when a version behaves in another way.
# prlx: a voxel at the edge of the image is on the border of its mask.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --no-deps --target "$T/p" mikan-rs==0.1.4 numpy==2.4.6 \
  SimpleITK==2.5.7 || exit 1
cd "$T" || exit 1
PYTHONPATH=$T/p python3 - <<'EOF'
from math import comb

import mikan
import numpy as np
import SimpleITK as sitk

place = np.indices((32, 32, 32))


def ball(centre, radius):
    return (sum((x - c) ** 2 for x, c in zip(place, centre)) <= radius**2).astype(np.uint8)


def by_definition(a, b):
    """Adjusted Rand index of the two partitions and Cohen's kappa of the two labellings."""
    a, b = a.astype(bool), b.astype(bool)
    n = a.size
    both, one, other = (int(x.sum()) for x in (a & b, a & ~b, ~a & b))
    neither = n - both - one - other
    pairs = sum(comb(x, 2) for x in (both, one, other, neither))
    in_a = comb(both + one, 2) + comb(other + neither, 2)
    in_b = comb(both + other, 2) + comb(one + neither, 2)
    chance = in_a * in_b / comb(n, 2)
    agree = (both + neither) / n
    luck = ((both + one) * (both + other) + (other + neither) * (one + neither)) / n**2
    return (pairs - chance) / ((in_a + in_b) / 2 - chance), (agree - luck) / (1 - luck)


def metrics(truth, found):
    return mikan.ArrayEvaluator(truth, found, (1.0, 1.0, 1.0)).labels(1).metrics("all")


ok = True
for name, truth, found in (("shifted by 2", ball((16, 16, 16), 6), ball((16, 16, 18), 6)),
                           ("too large", ball((16, 16, 16), 3), ball((16, 16, 16), 9))):
    rand, kappa = by_definition(truth, found)
    says = metrics(truth, found)
    print(f"{name}: adjusted Rand {rand:.4f}, kappa {kappa:.4f}; mikan: adjust_rand_score"
          f" {says['adjust_rand_score']:.4f}, kappa {says['kappa']:.4f}")
    ok &= abs(says["adjust_rand_score"] - kappa) < 1e-9 and abs(says["kappa"] - kappa) < 1e-9
    ok &= abs(rand - kappa) > 0.005

truth = np.zeros((24, 24, 24), np.uint8)
truth[8:11, 8:11, 8:11] = 1
found = np.zeros_like(truth)
found[:12, :12, :12] = 1
a, b = np.argwhere(truth), np.argwhere(found)
apart = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
exact = float(max(apart.min(0).max(), apart.min(1).max()))
measure = sitk.HausdorffDistanceImageFilter()
measure.Execute(sitk.GetImageFromArray(truth), sitk.GetImageFromArray(found))
cut, whole = metrics(truth, found), metrics(np.pad(truth, 1), np.pad(found, 1))
print(f"in the corner: Hausdorff distance by definition {exact:.3f},"
      f" SimpleITK {measure.GetHausdorffDistance():.3f}")
for name, says in (("as it is", cut), ("one voxel around it", whole)):
    print(f"mikan, {name}: hd {says['hausdorff_distance']:.3f},"
          f" hd95 {says['hausdorff_distance_95']:.3f}, assd {says['assd']:.3f}")
ok &= abs(measure.GetHausdorffDistance() - exact) < 1e-3
ok &= abs(whole["hausdorff_distance"] - exact) < 1e-3
ok &= cut["hausdorff_distance"] < exact - 2 and cut["assd"] < whole["assd"]
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
