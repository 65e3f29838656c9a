#!/bin/sh
# Finding: Delong_test of MLstatkit 0.1.91 calls two models that do not differ at all significantly
# different: p = 0. It is so whenever both rank the cases alike (a classifier before and after
# calibration, a probability and its logit) and when two different models both separate every case.
# The difference is 0 and so is its variance; a bootstrap takes over, none of its draws lies above
# 0, and p is twice that share. z, beside it, is 0. rocauc-comparison 0.1.1 and the package's own
# Permutation_test give p = 1 for the same scores. Nothing warns. With two neighbouring scores
# exchanged, the smallest difference that there is, p is right: 0.48.
#
# usage: sh findings/mlstatkit_delong_same.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile MLstatkit==0.1.91 rocauc-comparison==0.1.1 \
    numpy==2.2.6 scipy==1.15.3 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - 2>"$T/err" <<'EOF'
import numpy as np
from MLstatkit import Delong_test, Permutation_test
from rocauc_comparison import delong_roc_test

rng = np.random.default_rng(0)
truth = rng.integers(0, 2, 100)
logit = truth + rng.normal(0, 1.5, 100)
model = 1 / (1 + np.exp(-logit))
calibrated = 1 / (1 + np.exp(-(0.5 * logit - 1)))
order = np.argsort(model)
first = next(i for i in range(30, 99) if truth[order[i]] != truth[order[i + 1]])
swapped = model.copy()
swapped[order[[first, first + 1]]] = model[order[[first + 1, first]]]


def auc(score):
    """The share of pairs in the right order, ties half."""
    a, b = score[truth == 1][:, None], score[truth == 0][None]
    return float(((a > b) + 0.5 * (a == b)).mean())


cases = (("itself", model, model), ("itself, calibrated", model, calibrated),
         ("its logit", model, logit),
         ("two that separate all", truth + 0.3 * rng.random(100), truth + 0.6 * rng.random(100)),
         ("two neighbours exchanged", model, swapped))
ok = True
for name, a, b in cases:
    z, p, _, _, auc_a, auc_b, info = Delong_test(truth, a, b, n_boot=1000,
                                                       random_state=0)
    peer = float(np.ravel(delong_roc_test(truth, a, b).p_value)[0])
    permuted = Permutation_test(truth, a, b, metric_str="roc_auc", n_bootstraps=100)[2]
    print(f"{name}: AUC {auc_a:.4f} and {auc_b:.4f}, z {z:.2f}, p {p:.4f} ({info['method']}); "
          f"rocauc-comparison p {peer:.4f}; Permutation_test p {permuted:.2f}")
    ok = ok and abs(auc_a - auc(a)) < 1e-9 and abs(auc_b - auc(b)) < 1e-9
    if name == "two neighbours exchanged":
        ok = ok and abs(p - peer) < 0.01 and 0.1 < p < 1
    else:
        ok = ok and auc(a) == auc(b) and z == 0 and p == 0 and peer > 0.999 and permuted > 0.99
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
r=$?
[ $r -eq 0 ] || tail -3 "$T/err"
exit $r
