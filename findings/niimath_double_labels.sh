#!/bin/sh
# Finding: niimath 1.0.20261016 merges labels of integer volumes even when asked for double
# precision: with "-dt double ... -odt double" int32, uint32 and int64 still pass through the 24
# bits of float32; only a volume that is double on disk is computed in double. Structure numbers of
# the Allen mouse atlas (312782574 and 312782575, say) become one label, 6 labels become 4, 15 off
# their own values, exit code 0, no message, and --compare calls volumes with 312782574 and with
# 312782575 the same (exit code 0). The help text says that -dt sets the type of the computation.
#
# usage: sh findings/niimath_double_labels.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# prlx: `prlx convert`, which writes float32, warns of whole numbers beyond 16777216; crop refuses
# labels above its own limit.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile niimath==1.0.20261016 nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import subprocess

import nibabel as nib
import numpy as np

labels = np.array([549, 182305689, 312782574, 312782575, 484682520, 484682521])
seen = {}
for dtype in (np.int32, np.uint32, np.int64, np.float64):
    volume = np.zeros((len(labels), 4, 4), dtype)
    volume[...] = labels[:, None, None]
    nib.save(nib.Nifti1Image(volume, np.eye(4), dtype=dtype), "in.nii")
    subprocess.run(["v/bin/niimath", "-dt", "double", "in.nii", "-gz", "0", "-add", "0", "out.nii",
                    "-odt", "double"], check=True)
    out = nib.load("out.nii").get_fdata()[:, 0, 0].astype(np.int64)
    seen[np.dtype(dtype).name] = out - labels
    print(f"{np.dtype(dtype).name}: {len(set(out))} of {len(labels)} labels left, off by",
          *(out - labels))
for name, value in (("a", 312782574), ("b", 312782575)):
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), value, np.int32), np.eye(4)), name + ".nii")
same = subprocess.run(["v/bin/niimath", "a.nii", "--compare", "b.nii"]).returncode
print(f"--compare of a volume of 312782574 with one of 312782575: exit code {same}")
ok = (abs(seen.pop("float64")).max() == 0 and same == 0
      and all(abs(off).max() == 15 for off in seen.values()))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
