#!/bin/sh
# Finding: ancpbids 0.4.10 does not inherit from a sidecar whose name is a suffix alone. With Units
# in Chimap.json at the top of a derivative dataset, bids2table 2.3.1 tells of every susceptibility
# map that it is in ppb, ancpbids gives an empty dictionary, and the map counts as ppm where that
# is what a program takes by default: 1000 times too large. With an entity in the name,
# acq-a_Chimap.json, both inherit. BIDS: a sidecar applies if suffix and entities fit, and none is
# a subset, too.
#
# usage: sh findings/ancpbids_suffix_sidecar.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile ancpbids==0.4.10 bids2table==2.3.1 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - <<'EOF'
import json
import os

import ancpbids
import bids2table

root = os.path.abspath("maps")
os.makedirs("maps/sub-01/anat")
described = {"Name": "maps", "BIDSVersion": "1.10.0", "DatasetType": "derivative",
             "GeneratedBy": [{"Name": "by hand"}]}
for name, data in (("dataset_description", described), ("Chimap", {"Units": "ppb"}),
                   ("acq-a_T2starmap", {"Units": "s"}), ("T1w", {"EchoTime": 0.003})):
    with open(f"maps/{name}.json", "w") as f:
        json.dump(data, f)
names = ("sub-01_Chimap", "sub-01_acq-a_T2starmap", "sub-01_T1w")
for name in names:
    with open(f"maps/sub-01/anat/{name}.nii.gz", "wb"):
        pass
seen = {}
for image in ancpbids.load_dataset(root).query(extension=".nii.gz", scope="all"):
    name = image.name.split(".")[0]
    other = bids2table.load_bids_metadata(f"{root}/sub-01/anat/{image.name}", inherit=True)
    seen[name] = (dict(image.get_metadata()), dict(other))
for name in names:
    print(f"{name}: {seen[name][0]} (ancpbids), {seen[name][1]} (bids2table)")
ok = ([seen[name][0] for name in names] == [{}, {"Units": "s"}, {}]
      and [seen[name][1] for name in names]
      == [{"Units": "ppb"}, {"Units": "s"}, {"EchoTime": 0.003}])
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
