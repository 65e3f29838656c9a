#!/bin/sh
# Finding: pingouin 0.7.0 explains the F and the p of its intraclass correlations as a test that
# they are not. By its manual they show systematic differences between raters ("a significant
# p-value suggests that rater means differ"); computed is the mean square of the targets over that
# of the error. Three readers without any bias get p = 7.5e-25, three who lie 2 points apart, of
# lesions that are all alike, 0.85; the test that the manual describes says 0.9 and 1.6e-17. And
# readers who score each lesion four times are averaged first, silently: ICC(A,1), to the manual the
# reliability of one rating by a single rater, is 0.68 where one reading of each gives 0.53.
#
# usage: sh findings/pingouin_icc_f.sh. Installs the packages in a temporary folder and ends with 0
# while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile pingouin==0.7.0 numpy==2.4.6 scipy==1.17.1 \
    pandas==2.3.3 scikit-learn==1.9.1 statsmodels==0.15.0 seaborn==0.13.2 matplotlib==3.11.2 ||
  exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - <<'EOF'
import numpy as np
import pandas as pd
import pingouin as pg
from scipy.stats import f

rng = np.random.default_rng(2)
lesions, readers = 30, 3


def icc(scores):
    """ICC(A,1) of scores by lesion, reader and reading, and the F and p beside it."""
    rows = [(i, j, s) for i, lesion in enumerate(scores) for j, reads in enumerate(lesion)
            for s in reads]
    table = pd.DataFrame(rows, columns=["lesion", "reader", "score"])
    out = pg.intraclass_corr(table, targets="lesion", raters="reader", ratings="score")
    row = out.set_index("Type").loc["ICC(A,1)"]
    return float(row["ICC"]), float(row["F"]), float(row["pval"])


def of_squares(x):
    """F of the lesions, F of the readers and its p, from the sums of squares."""
    n, k = x.shape
    rest = x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    between = n * x.mean(0).var(ddof=1) / error
    p = float(f.sf(between, k - 1, (n - 1) * (k - 1)))
    return k * x.mean(1).var(ddof=1) / error, between, p


says = " ".join(pg.intraclass_corr.__doc__.split())
claim = "A significant p-value suggests that rater means differ"
print("the manual:", claim if claim in says else "changed")
ok = claim in says
for name, spread, bias in (("no bias, lesions differ", 3.0, 0.0),
                           ("bias, lesions alike", 0.0, 2.0)):
    x = rng.normal(0, spread, (lesions, 1)) + bias * np.arange(readers)
    x = x + rng.normal(0, 1, (lesions, readers))
    value, got, p = icc(x[:, :, None])
    targets, between, right = of_squares(x)
    means = ", ".join(f"{m:.2f}" for m in x.mean(0))
    print(f"{name}: means {means}; pingouin F {got:.2f}, p {p:.2g}; of the lesions F {targets:.2f};"
          f" of the readers F {between:.2f}, p {right:.2g}")
    ok &= abs(got - targets) < 1e-6 * targets
    ok &= p < 1e-6 and right > 0.1 if bias == 0 else p > 0.1 and right < 1e-6

x = rng.normal(0, 1, (lesions, 1, 1)) + rng.normal(0, 1, (lesions, readers, 4))
four, one, mean = icc(x)[0], icc(x[:, :, :1])[0], icc(x.mean(2, keepdims=True))[0]
print(f"ICC(A,1): {four:.3f} of four readings each, {one:.3f} of the first,"
      f" {mean:.3f} of their mean")
ok &= abs(four - mean) < 1e-9 and four > one + 0.15
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
