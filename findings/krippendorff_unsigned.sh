#!/bin/sh
# Finding: krippendorff 0.9.0 gives another alpha for the same ratings when they are unsigned
# numbers, as labels and scores are that come from a NIfTI file: it subtracts before it converts,
# and 1 - 2 is 255. Three readers who score 200 lesions from 0 to 4 and are never more than two
# steps apart agree with an interval alpha of 0.778 (int64, int8, float64, and by the definition);
# as uint8 the answer is 0.294, as uint64 0.298, which is that of a nominal scale, and a ratio alpha
# of 0.503 becomes -0.189. Interval is the default, nothing warns, and an agreement that is good
# reads as none. Nominal and ordinal are right.
#
# usage: sh findings/krippendorff_unsigned.sh. Installs the package in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile krippendorff==0.9.0 numpy==2.4.6 nibabel==5.4.2 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import krippendorff
import nibabel
import numpy as np

DISTANCE = {"nominal": lambda a, b: float(a != b), "interval": lambda a, b: (a - b) ** 2,
            "ratio": lambda a, b: ((a - b) / (a + b)) ** 2 if a + b else 0.0}


def by_definition(ratings, distance):
    """1 - Do / De over pairs of readers and over pairs of all values; every lesion has all."""
    units = ratings.T.tolist()
    m = len(units[0])
    everything = [v for unit in units for v in unit]
    n = len(everything)
    observed = sum(distance(u[i], u[j]) for u in units for i in range(m) for j in range(m)
                   if i != j) / (n * (m - 1))
    times = {v: everything.count(v) for v in set(everything)}
    expected = sum(times[a] * times[b] * distance(a, b) for a in times for b in times)
    return 1 - observed / (expected / (n * (n - 1)))


rng = np.random.default_rng(1)
truth = rng.integers(0, 5, 200)
scores = np.array([np.clip(truth + rng.integers(-1, 2, 200), 0, 4) for _ in range(3)])
apart = int((scores.max(0) - scores.min(0)).max())

# The scores as three readers' volumes, one voxel a lesion, and read again as they were written.
read = []
for reader, row in enumerate(scores):
    image = nibabel.Nifti1Image(row.astype(np.uint8).reshape(10, 10, 2), np.eye(4))
    nibabel.save(image, f"reader{reader}.nii")
    read.append(np.asarray(nibabel.load(f"reader{reader}.nii").dataobj).ravel())
read = np.array(read)
print(f"200 lesions, 3 readers, scores 0 to 4, at most {apart} apart; the files hold {read.dtype}")

types = ("int64", "int8", "float64", "uint8", "uint16", "uint64")
seen = {}
for level in ("nominal", "ordinal", "interval", "ratio"):
    for t in types:
        seen[level, t] = float(krippendorff.alpha(scores.astype(t), level_of_measurement=level))
    said = ""
    if level in DISTANCE:
        said = f"by definition {by_definition(scores, DISTANCE[level]):.3f}; "
    print(f"{level}: {said}" + ", ".join(f"{t} {seen[level, t]:.3f}" for t in types))
default = float(krippendorff.alpha(read))
print(f"the files, and no level asked for: {default:.3f}")

right = all(abs(seen[level, t] - by_definition(scores, DISTANCE[level])) < 1e-9
            for level in DISTANCE for t in ("int64", "int8", "float64"))
same = all(abs(seen[level, t] - seen[level, "int64"]) < 1e-9
           for level in ("nominal", "ordinal") for t in types)
wrong = all(abs(seen[level, t] - seen[level, "int64"]) > 0.4
            for level in ("interval", "ratio") for t in ("uint8", "uint16", "uint64"))
ok = (apart == 2 and read.dtype == np.uint8 and right and same and wrong
      and default == seen["interval", "uint8"])
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
