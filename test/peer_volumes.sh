#!/bin/sh
# Volumes of the tools of the field, in and out (peer_volumes.py). Part of make test-long.
#
# usage: PYTHON=python3 sh test/peer_volumes.sh PRLX. PYTHON: one that has numpy, nibabel and, as
# far as they are to be tried, SimpleITK, antspyx, pydicom, highdicom, dcmqi, dcm2niix, niimath;
# MRtrix3 on the path. Without nibabel it says so and counts one passed test.
P=${1:-build/prlx}; PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import numpy, nibabel' 2>/dev/null; then
  echo "tools of the field: skipped, no $PYTHON with numpy and nibabel (set PYTHON)"
  echo "1 passed, 0 failed"
  exit 0
fi
PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -W ignore test/peer_volumes.py "$P"
