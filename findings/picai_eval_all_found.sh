#!/bin/sh
# Finding: the lesion sensitivity (FROC curve) of picai-eval 1.4.13, which scores detected lesions
# for a challenge, is 0 for a detector that finds every one. Of ten lesions that are marked with
# confidence 1 or not at all it gives 0.9 if nine are found and 0.0 if all ten are, at any number of
# false positives. All ten with ten different confidences have 0.9, as if one had been missed; five
# at 0.9 and five at 0.6 have 0.5. The curve goes to infinity by overwriting its last threshold with
# the point before it: meant for the confidence 0 that a missed lesion gets, it takes the weakest
# findings where none is missed. The average precision beside it is 1, as it should be. Equal
# confidences are allowed by the manual; nothing warns.
#
# usage: sh findings/picai_eval_all_found.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 \
    SimpleITK==2.5.7 tqdm==4.70.1 packaging==26.4 &&
  "$T/v/bin/pip" install -q --no-compile --no-deps picai-eval==1.4.13 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W error - <<'EOF'
import numpy as np
from picai_eval import evaluate


def scans(found, false):
    """One scan for each lesion, with the confidence of what was found on it, then false alarms."""
    for conf, place, there in [(c, 4, 1) for c in found] + [(c, 10, 0) for c in false]:
        box = np.zeros((16, 16, 8), np.float32)
        box[place:place + 4, place:place + 4, 2:5] = 1
        yield box * np.float32(conf), box.astype(np.int32) * there


def by_definition(found, false, scans_in_all, most):
    """Best sensitivity at so many false positives a scan: every threshold that occurs is tried."""
    best = 0.0
    for level in {c for c in found + false if c > 0}:
        if sum(c >= level for c in false) / scans_in_all <= most:
            best = max(best, sum(c >= level for c in found) / len(found))
    return best


graded = [round(0.95 - 0.05 * i, 2) for i in range(10)]
cases = (
    ("nine of ten found, all certain", [1] * 9 + [0], [], 0.9),
    ("ten of ten found, all certain", [1] * 10, [], 0.0),
    ("ten of ten, two false alarms, all certain", [1] * 10, [1, 1], 0.0),
    ("nine of ten, ten confidences", graded[:9] + [0], [], 0.9),
    ("ten of ten, ten confidences", graded, [], 0.9),
    ("ten of ten, two confidences", [0.9] * 5 + [0.6] * 5, [], 0.5),
    ("ten of ten, a weaker false alarm", [1] * 10, [0.5], 1.0),
)
ok = True
for name, found, false, seen in cases:
    pairs = list(scans(found, false))
    m = evaluate(*zip(*pairs), num_parallel_calls=1)
    got, right = m.lesion_TPR_at_FPR(1.0), by_definition(found, false, len(pairs), 1.0)
    hits = sum(a > 0 for hit, a, _ in m.lesion_results_flat if hit)
    print(f"{name}: sensitivity at 1 false positive a scan {got:.1f} for {right:.1f}, largest of"
          f" the curve {m.lesion_TPR.max():.1f}; {hits} lesions matched, AP {m.AP:.2f}")
    ok &= abs(got - seen) < 1e-6 and abs(m.lesion_TPR.max() - seen) < 1e-6
    ok &= hits / 10 == right and m.num_lesions == 10
    ok &= false != [] or abs(m.AP - right) < 1e-6
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
