#!/bin/sh
# Finding: qsm-forward 0.32 documents that maps are given as paths or as numpy arrays; an array
# works for the susceptibility only. Mask, M0, R1, R2* and segmentation as arrays of the same shape
# are taken by TissueParams and raise ValueError ("truth value of an array ... is ambiguous") when
# the simulation first asks for them, so that every phantom made in memory has M0 1, R1 1 and R2*
# 50 wherever it is not 0, or goes through files.
#
# usage: sh findings/qsm_forward_arrays.sh. Installs the package in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile qsm-forward==0.32 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import numpy as np
import qsm_forward

chi = np.zeros((12, 12, 12))
chi[4:8, 4:8, 4:8] = 0.1
documented = qsm_forward.TissueParams.__doc__
seen = {}
for name in ("chi", "mask", "M0", "R1", "R2star", "seg"):
    maps = {"chi": chi}
    maps[name] = chi if name == "chi" else np.full(chi.shape, 2.0)
    tissue = qsm_forward.TissueParams(**maps)
    try:
        seen[name] = "values up to %g" % getattr(tissue, name).get_fdata().max()
    except ValueError as e:
        seen[name] = f"ValueError: {e}"
    print(f"{name} as an array: {seen[name]}")
print("values without them:", ", ".join(
    "%s %g" % (n, getattr(qsm_forward.TissueParams(chi=chi), n).get_fdata().max())
    for n in ("M0", "R1", "R2star")))
ok = ("3D numpy array containing R1 values" in documented and seen.pop("chi") == "values up to 0.1"
      and all("ambiguous" in v for v in seen.values()))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
