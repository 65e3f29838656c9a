#!/bin/sh
# Finding: qsm-forward 0.32 takes the length of B0_dir for a strength. The field of one and the
# same sphere is four times as large with the direction (0, 0, 2) as with (0, 0, 1), and the inside
# of the sphere, where the field is 0 by the Lorentz correction, then lies at -1 of its
# susceptibility. An oblique direction as one types it, (0, 1, 1), makes a field of twice the size;
# its phase, its BIDS data set and the ground truth beside them (--B0-dir of the command) come
# without a word.
#
# usage: sh findings/qsm_forward_b0_length.sh. Installs the package in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# Seen: the ratios 4.00 and 2.02 to theory, inside -0.999 and -0.333 of the susceptibility.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile qsm-forward==0.32 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import numpy as np
import qsm_forward

n = 64
p = np.indices((n, n, n)) - n // 2
r = np.sqrt((p**2).sum(0))
chi = (r <= 8).astype(float)
far = (r > 10) & (r < 16)


def against_theory(b0):
    """Slope of the simulated field on that of a sphere, and the mean field inside it."""
    unit = np.array(b0) / np.linalg.norm(b0)
    cos = np.tensordot(unit, p, 1)[far] / r[far]
    a3 = chi.sum() * 3 / (4 * np.pi)
    theory = a3 / r[far]**3 * (cos**2 - 1 / 3)
    field = qsm_forward.generate_field(chi, voxel_size=[1, 1, 1], B0_dir=b0)
    return np.polyfit(theory, field[far], 1)[0], field[chi > 0].mean()


seen = {}
for b0 in ([0, 0, 1], [0, 0, 2], [0, 1, 1], [0, 0.5**0.5, 0.5**0.5]):
    seen[tuple(b0)] = against_theory(b0)
    print("B0_dir (%g, %g, %g): %.3f of the field of theory, inside %.3f"
          % (*b0, *seen[tuple(b0)]))
v = list(seen.values())
ok = (abs(v[0][0] - 1) < 0.05 and abs(v[1][0] - 4) < 0.05 and abs(v[2][0] - 2) < 0.05
      and abs(v[3][0] - 1) < 0.05 and abs(v[1][1] + 1) < 0.01)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
