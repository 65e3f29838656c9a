#!/bin/sh
# Finding: the bootstrap of grand-challenge-metrics 0.6.0 (formerly evalutils) never draws the last
# case of the list: it asks for numbers below one less than there are, and the upper end is not
# drawn. With 40 lesions without and 4 with a rim, the last of them with the lowest score of all,
# the area under the curve is 0.75 and its 95 % interval 1.00 to 1.00. Whatever the last one scores,
# and the area goes up to 1, the interval stays the same to the last digit. The same 44 lesions in
# the opposite order give 0.00 to 1.00, as a bootstrap of all cases does. The curves and the points
# with their intervals are made likewise. The smaller the study, the more it is; nothing warns.
#
# usage: sh findings/gc_metrics_last_case.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile grand-challenge-metrics==0.6.0 numpy==2.4.6 \
    scipy==1.17.1 scikit-learn==1.9.1 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W error - <<'EOF'
import numpy as np
from grand_challenge_metrics.roc import get_bootstrapped_ci_point_error as points
from grand_challenge_metrics.roc import get_bootstrapped_roc_ci_curves as curves
from sklearn.metrics import roc_auc_score

draws = 1000
rim = np.array([0] * 40 + [1] * 4)
others = np.append(np.linspace(0.0, 0.5, 40), [0.6, 0.7, 0.8])


def interval(score, order):
    out = curves(score[order], rim[order], draws)
    return round(float(out.low_az_val), 9), round(float(out.high_az_val), 9)


def of_all(score):
    """Percentiles of the area over draws from all cases."""
    rng, areas = np.random.default_rng(1), []
    while len(areas) < draws:
        i = rng.integers(0, len(rim), len(rim))
        if 0 < rim[i].sum() < len(rim):
            areas.append(roc_auc_score(rim[i], score[i]))
    return tuple(np.percentile(areas, [2.5, 97.5]))


forward, backward = np.arange(44), np.arange(44)[::-1]
ok = True
for last in (-1.0, 0.255, 0.9):
    score = np.append(others, last)
    area, seen, turned, right = (roc_auc_score(rim, score), interval(score, forward),
                                 interval(score, backward), of_all(score))
    print(f"last lesion scores {last}: area {area:.2f}, interval {seen[0]:.2f} to {seen[1]:.2f};"
          f" opposite order {turned[0]:.2f} to {turned[1]:.2f}; drawn from all {right[0]:.2f} to"
          f" {right[1]:.2f}")
    ok &= seen == (1, 1) and abs(turned[0] - right[0]) < 0.1 and turned[1] == 1
    ok &= last == 0.9 or area < seen[0]

# A reader's scores from 1 to 3: sensitivity at 3 and at 2, and their intervals.
reader = np.array([1, 2] * 18 + [3] * 4 + [3, 3, 2, 1])
for name, order in (("as listed", forward), ("in the opposite order", backward)):
    p = points(reader[order], rim[order], draws)
    print(f"a reader who calls 3 of 4 rims, {name}: sensitivity at a score of 2"
          f" {p.mean_tprs[1]:.3f} ({p.low_tpr_vals[1]:.2f} to {p.high_tpr_vals[1]:.2f})")
    ok &= (p.mean_tprs[1] == 1) == (name == "as listed")
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
