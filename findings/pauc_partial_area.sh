#!/bin/sh
# Finding: the partial area under a ROC curve is that of another curve in pauc 0.2.2. It
# interpolates as if there were one point for each false positive rate; where the curve rises
# straight up, as it does all along with continuous scores, only the upper point is left, and the
# step becomes a slope. From one end to the other the partial area should be the area: for 10 cases
# and 10 controls whose area is 0.76 (by counting pairs, by scikit-learn 1.9.1, and by pauc itself
# without partial_auc) it is 0.79 with the focus on specificity and 0.71 on sensitivity. Above a
# specificity of 0.9 it is too large by 11 % with 20 cases and 20 controls, on average of 500
# studies, and by 3 % with 200; nothing warns.
#
# usage: sh findings/pauc_partial_area.sh. Installs the packages in a temporary folder and ends with
# 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile pauc==0.2.2 numpy==2.4.6 scipy==1.17.1 \
    scikit-learn==1.9.1 matplotlib==3.11.2 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import numpy as np
from pauc import ROC
from sklearn.metrics import roc_auc_score


def scores(n, rng):
    return np.repeat((0, 1), n), np.r_[rng.normal(size=n), rng.normal(1, 1, n)]


def by_counting(truth, score, first, last):
    """Area between two false positive rates, by the controls that lie there: no curve at all."""
    cases, controls = score[truth == 1], -np.sort(-score[truth == 0])
    n = len(controls)
    share = [(cases > c).mean() + (cases == c).mean() / 2 for c in controls]
    return sum(share[round(first * n):round(last * n)]) / n


ok = True
truth, score = scores(10, np.random.default_rng(1))
whole = by_counting(truth, score, 0, 1)
plain = ROC(truth, score).auc
ends = {f: ROC(truth, score, partial_auc=(0, 1), partial_auc_focus=f).auc
        for f in ("specificity", "sensitivity")}
print(f"10 and 10: area by counting {whole:.3f}, scikit-learn {roc_auc_score(truth, score):.3f},"
      f" pauc {plain:.3f}; partial from 0 to 1: specificity {ends['specificity']:.3f}, sensitivity"
      f" {ends['sensitivity']:.3f}")
ok &= abs(plain - whole) < 1e-9 and abs(roc_auc_score(truth, score) - whole) < 1e-9
ok &= ends["specificity"] > whole + 0.02 and ends["sensitivity"] < whole - 0.02

rng = np.random.default_rng(0)
for n, low, high in ((20, 1.07, 1.15), (200, 1.02, 1.05)):
    pairs = []
    for _ in range(500):
        truth, score = scores(n, rng)
        # scikit-learn gives the area up to a false positive rate in the form of McClish.
        form = roc_auc_score(truth, score, max_fpr=0.1)
        pairs.append((ROC(truth, score, partial_auc=(0.9, 1)).auc,
                      by_counting(truth, score, 0, 0.1),
                      (2 * form - 1) * (0.1 - 0.1**2 / 2) + 0.1**2 / 2))
    found, counted, sklearn = np.mean(pairs, axis=0)
    print(f"{n} and {n}: above a specificity of 0.9 {found:.4f} on average, by counting"
          f" {counted:.4f}, scikit-learn {sklearn:.4f}: {found / counted:.2f} of it")
    ok &= low < found / counted < high and abs(sklearn / counted - 1) < 0.02
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
