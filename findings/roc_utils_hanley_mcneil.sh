#!/bin/sh
# Finding: the two tests of research-roc-utils 0.1.1 for two ROC curves of the same cases are no
# tests. roc_z_score, by its manual the one of Hanley and McNeil, leaves out the division of the
# variance by (cases x controls), and takes r x V1 x V2 for the covariance, where r x S1 x S2 is
# meant: the root is of a negative number, z is nan in half of all studies with 25 cases and 25
# controls and in each one with 200. roc_t_stat divides outside a root instead of inside, and its t
# grows with the study: two models that are equally good differ with p < 0.05 in 1 % of studies with
# 25 cases and controls, in 9 % with 200, in 35 % with 2000. Hanley and McNeil's test, with the r of
# the package: 3 to 4 %. Nothing but numpy warns, of an invalid value in sqrt.
#
# usage: sh findings/roc_utils_hanley_mcneil.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile research-roc-utils==0.1.1 scikits.bootstrap==1.1.0 \
    pyerf==1.0.1 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 pandas==2.3.3 \
    matplotlib==3.11.2 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - <<'EOF'
import numpy as np
import research_roc_utils.roc_utils as ru
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(0)


def variance(a, n):
    """Hanley and McNeil 1982, of an area a with n cases and n controls."""
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    return (a * (1 - a) + (n - 1) * (q1 + q2 - 2 * a**2)) / n**2


def study(n):
    """Two equally good models that see much of the same: the right test, z and t."""
    truth = np.repeat((0, 1), n)
    seen = rng.normal(size=2 * n)
    one, two = (seen + 0.7 * rng.normal(size=2 * n) + 1.8 * truth for _ in range(2))
    a, b = roc_auc_score(truth, one), roc_auc_score(truth, two)
    r = ru.find_r_val(ru.avg_corr_fun(truth, one, two, pearsonr), (a + b) / 2)
    v, w = variance(a, n), variance(b, n)
    right = (a - b) / np.sqrt(v + w - 2 * r * np.sqrt(v * w))
    return (right, ru.roc_z_score(truth, one, two, pearsonr),
            ru.roc_t_stat(truth, one, two, pearsonr))


ok = True
for n, draws, low, high in ((25, 1000, 0.0, 0.02), (200, 1000, 0.06, 0.12),
                            (2000, 300, 0.25, 0.45)):
    right, z, t = np.array([study(n) for _ in range(draws)]).T
    share = [float((abs(x) > 1.96).mean()) for x in (right, t)]
    print(f"{n} cases, {n} controls, no difference: z is nan in {100 * np.isnan(z).mean():.0f} % of"
          f" {draws} studies; p < 0.05 in {100 * share[1]:.1f} % by t,"
          f" {100 * share[0]:.1f} % by the right test")
    ok &= 0.02 < share[0] < 0.06 and low < share[1] < high
    ok &= np.isnan(z).all() if n > 25 else 0.4 < np.isnan(z).mean() < 0.7
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
