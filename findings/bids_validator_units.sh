#!/bin/sh
# Finding: the BIDS schema gives a quantitative map one unit (bidsschematools 2.0.1, BIDS 1.11.2:
# Chimap ppm, T1map s), and the official validator (bids-validator-deno 3.0.2) does not hold the
# sidecar against it. A data set whose Chimap.json says Units ppb and whose T1map.json says ms, with
# values to match, gets the same codes, word for word, as one in ppm and s, and so does a unit that
# does not exist. A map that is a thousand times too large for what reads it by the specification
# is valid.
#
# usage: sh findings/bids_validator_units.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile bids-validator-deno==3.0.2 bidsschematools==2.0.1 \
    nibabel==5.3.2 numpy || exit 1
cd "$T" || exit 1
cat >make.py <<'END'
import json
import os
import sys

import nibabel
import numpy

root, chi, chi_scale, t1, t1_scale = sys.argv[1:]
os.makedirs(root + "/sub-01/anat")


def put(name, value):
    with open(f"{root}/{name}", "w") as f:
        f.write(value if isinstance(value, str) else json.dumps(value))


put("dataset_description.json", {"Name": "units", "BIDSVersion": "1.10.0", "DatasetType": "raw",
                                 "License": "CC0", "Authors": ["A. One", "B. Two"]})
put("README", "Two quantitative maps in units that their sidecars name. " * 4)
put("participants.tsv", "participant_id\nsub-01\n")
draw = numpy.random.default_rng(0)
for suffix, unit, scale, mean, sd in (("Chimap", chi, chi_scale, 0, 0.03),
                                      ("T1map", t1, t1_scale, 1.2, 0.2)):
    data = (draw.normal(mean, sd, (16, 16, 8)) * float(scale)).astype("f4")
    image = nibabel.Nifti1Image(data, numpy.diag([0.7, 0.7, 2, 1]))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, f"{root}/sub-01/anat/sub-01_{suffix}.nii.gz")
    put(f"sub-01/anat/sub-01_{suffix}.json", {"Units": unit, "EstimationAlgorithm": "none"})
END
"$T/v/bin/python" make.py right ppm 1 s 1 && "$T/v/bin/python" make.py large ppb 1000 ms 1000 &&
  "$T/v/bin/python" make.py odd furlongs 1 fortnights 1 || exit 1
for d in right large odd; do
  DENO_DIR=$T/deno "$T/v/bin/bids-validator-deno" --json "$d" >"$d.json" 2>"$d.err"
  echo "$d: exit code $?"
done
"$T/v/bin/python" - <<'END'
import json
import sys

from bidsschematools.schema import load_schema

suffixes = load_schema().objects.suffixes
units = {name: suffixes[name].get("unit") for name in ("Chimap", "T1map")}
print("schema:", units)


def codes(name):
    issues = json.load(open(name + ".json"))["issues"]["issues"]
    return sorted((i["code"], i.get("subCode", ""), i.get("severity", ""), i.get("location", ""))
                  for i in issues)


right, large, odd = codes("right"), codes("large"), codes("odd")
errors = [c for c in right if c[2] == "error"]
about = [c for c in large + odd if "Units" in c[1] or "UNITS" in c[0]]
print(f"issues: {len(right)} in ppm and s, {len(large)} in ppb and ms, {len(odd)} in furlongs and "
      f"fortnights; errors {len(errors)}; about Units {len(about)}")
same = right == large == odd and not errors and not about
sys.exit(0 if units == {"Chimap": "ppm", "T1map": "s"} and len(right) > 0 and same else 1)
END
r=$?
[ $r -eq 0 ] && echo "as found: a unit that contradicts the schema is valid"
exit $r
