#!/bin/sh
# Finding: dcurves 1.1.7, which computes the decision curves of prediction models, turns a marker
# upside down when it is asked to make a risk of it (models_to_prob). In a survival study it takes
# the survival that its Cox model predicts for the risk: those with most rim lesions are treated
# last. Of 400 patients with 0 to 4 of them 6 to 61 % get worse within two years. Treating from a
# risk of 30 % on has a net benefit of 0.15 and is given one of 0.05, that of treating all; at 50 %
# it is -0.37 for 0.05, worse than all (-0.33) and none (0). With an outcome at a fixed time it is
# the same if the outcome is True or False, as in the package's own sample data, whose marker then
# is of no use: the regression is one of False. With 0 and 1 it is right, and so is a risk computed
# before. Nothing warns.
#
# usage: sh findings/dcurves_risk_upside_down.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile dcurves==1.1.7 lifelines==0.30.3 statsmodels==0.15.0 \
    pandas==2.3.3 numpy==2.4.6 scipy==1.17.1 matplotlib==3.11.2 formulaic==1.2.2 patsy==1.0.3 \
    autograd==1.9.1 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W error::UserWarning - <<'EOF'
import pathlib

import dcurves
import lifelines
import numpy as np
import pandas as pd
from dcurves import dca

n, horizon, levels = 400, 2.0, (0.1, 0.3, 0.5)
rims = np.arange(n) % 5
share = (np.random.default_rng(1).permutation(n) + 0.5) / n
years = -np.log(share) / (0.05 * np.exp(0.6 * rims))  # each rim lesion: 1.8 times the hazard
worse = years <= horizon
print("worse within two years, by rim lesions:",
      ", ".join(f"{worse[rims == k].mean():.0%}" for k in range(5)))
study = pd.DataFrame({"rims": rims, "years": np.minimum(years, 4.0), "event": years <= 4.0})


def benefit(model, **options):
    """Net benefit at the three risks from which one treats."""
    out = dca(modelnames=[model], thresholds=levels, **options)
    return [out[out.model == name].net_benefit.to_numpy() for name in (model, "all")]


def by_definition(risk, happened):
    treat = [risk >= level for level in levels]
    return np.array([(t & happened).mean() - (t & ~happened).mean() * level / (1 - level)
                     for t, level in zip(treat, levels)])


def show(name, values):
    print(f"{name}: " + ", ".join(f"{v:.3f}" for v in values))


cox = lifelines.CoxPHFitter().fit(study, "years", "event")
survival = cox.predict_survival_function(study, times=horizon).to_numpy()[0]
options = dict(outcome="event", time=horizon, time_to_outcome_col="years")
own, everyone = benefit("rims", data=study, models_to_prob=["rims"], **options)
given, _ = benefit("risk", data=study.assign(risk=1 - survival), **options)
wrong, right = by_definition(survival, worse), by_definition(1 - survival, worse)
print("net benefit of treating from a risk of 10, 30 and 50 % on")
show("survival study, marker made a risk by dcurves", own)
show("survival study, risk computed before", given)
show("by the definition", right)
show("by the definition, with the survival for the risk", wrong)
show("treating all", everyone)
ok = np.allclose(own, wrong) and np.allclose(given, right) and np.abs(own - right).max() > 0.4

fixed = pd.DataFrame({"rims": rims, "worse": worse})
yes_no, _ = benefit("rims", data=fixed, outcome="worse", models_to_prob=["rims"])
numbers, _ = benefit("rims", data=fixed.astype(int), outcome="worse", models_to_prob=["rims"])
show("outcome True or False, marker made a risk by dcurves", yes_no)
show("outcome 1 or 0", numbers)
ok &= np.allclose(numbers, right) and np.allclose(yes_no, wrong)

folder = pathlib.Path(dcurves.__file__).parent / "data"
sample = pd.read_csv(folder / "df_binary.csv")
options = dict(outcome="cancer", models_to_prob=["marker"])
yes_no, everyone = benefit("marker", data=sample, **options)
numbers, _ = benefit("marker", data=sample.assign(cancer=sample.cancer.astype(int)), **options)
show(f"its sample data as they are ({sample.cancer.dtype})", yes_no)
show("its sample data with 1 and 0", numbers)
show("its sample data, treating all", everyone)
ok &= bool((yes_no <= everyone + 1e-9).all() and (numbers > everyone + 0.01).all())
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
