#!/bin/sh
# Finding: numpyradiomics 0.0.5, by its manual the features of PyRadiomics without that package,
# leaves out two of the 13 directions of the run length matrix (GLRLM) and takes two others twice.
# Along the diagonals of the last two axes, those of a slice of an array in z, y, x, it counts no
# run: it brings the axes of the image into another order than those of the direction, and what it
# counts is the diagonals of the first two once more. A mean of all 13 cannot depend on which axis
# is which. A texture of slices, alike in each direction within a slice, has a run percentage of
# 0.699, and of 0.606 once the array is turned so that x comes first; by the definition 0.652 both
# times. Long run emphasis: 4.07, 5.52 and 4.79. Stripes along a diagonal of the slice have 17.3 for
# 20.7. The four other texture classes stay as they are when the array is turned. Nothing warns.
#
# usage: sh findings/numpyradiomics_run_axes.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile numpyradiomics==0.0.5 numpy==2.4.6 scipy==1.17.1 \
    scikit-image==0.26.0 PyWavelets==1.9.0 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W error::UserWarning -W error::RuntimeWarning - <<'EOF'
import itertools

import numpy as np
import numpyradiomics as npr
from scipy.ndimage import gaussian_filter

half = [d for d in itertools.product((-1, 0, 1), repeat=3) if d > (0, 0, 0)]
names = ("ShortRunEmphasis", "LongRunEmphasis", "RunPercentage")


def run_lengths(levels, way):
    """The length of each run of equal levels this way, counted from where it begins."""
    inside = lambda p: all(0 <= c < n for c, n in zip(p, levels.shape))
    lengths = []
    for p in np.ndindex(levels.shape):
        before = tuple(np.subtract(p, way))
        if inside(before) and levels[before] == levels[p]:
            continue
        end = p
        while inside(end) and levels[end] == levels[p]:
            end = tuple(np.add(end, way))
        lengths.append(max(np.abs(np.subtract(end, p))))
    return np.array(lengths, float)


def features(levels, ways):
    runs = [run_lengths(levels, way) for way in ways]
    return np.array([np.mean([f(r) for r in runs]) for f in
                     (lambda r: (1 / r**2).mean(), lambda r: (r**2).mean(),
                      lambda r: len(r) / levels.size)])


def package(levels):
    out = npr.glrlm(levels * 10.0, np.ones(levels.shape, np.uint8), binWidth=10)
    return np.array([out[name] for name in names])


def show(name, values):
    print(name + ": " + ", ".join(f"{k} {v:.3f}" for k, v in zip(names, values)))


# The two diagonals within (z, y) in place of the two within (y, x).
swapped = [(d[2], d[1], d[0]) if d[0] == 0 and abs(d[1]) == abs(d[2]) == 1 else d for d in half]
noise = gaussian_filter(np.random.default_rng(1).normal(size=(12, 12, 12)), (0, 2, 2))
texture = np.argsort(np.argsort(noise.ravel())).reshape(noise.shape) * 4 // noise.size
ok = True
for name, levels in (("z, y, x", texture), ("x, y, z", texture.transpose(2, 1, 0).copy())):
    got, right, guess = package(levels), features(levels, half), features(levels, swapped)
    show(f"axes {name}, numpyradiomics", got)
    show(f"axes {name}, by the definition", right)
    show(f"axes {name}, with its directions", guess)
    ok &= np.allclose(got, guess) and abs(got[2] - right[2]) > 0.04

z, y, x = np.indices((12, 12, 12))
for name, a, b in (("y and x", y, x), ("z and y", z, y), ("z and x", z, x)):
    stripes = (a + b) % 4 // 2
    got, right = package(stripes), features(stripes, half)
    print(f"stripes along a diagonal of {name}: long run emphasis {got[1]:.2f} for {right[1]:.2f}")
    ok &= (abs(got[1] - right[1]) > 1) == (name != "z and x")

for name in ("glcm", "gldm", "glszm", "ngtdm"):
    whole = np.ones(texture.shape, np.uint8)
    a, b = (getattr(npr, name)(t * 10.0, whole, binWidth=10)
            for t in (texture, texture.transpose(2, 1, 0).copy()))
    ok &= all(np.isclose(a[k], b[k]) for k in a)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
