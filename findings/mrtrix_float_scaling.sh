#!/bin/sh
# Finding: MRtrix3 3.0.3 (Debian 12, 3.0.3-3+b1) applies scl_slope and scl_inter of a NIfTI file to
# integers only. On a float32 file with slope 2 and offset -1024 mrinfo prints "offset = -1024,
# multiplier = 2", and mrstats on the same file gives the mean of the stored numbers, 29.5 for
# -965. The standard allows scaled floats; nibabel 5.4.2 and SimpleITK 2.5.7 scale them. A
# susceptibility map stored in ppb with slope 0.001 comes out 1000 times too large.
#
# usage: sh findings/mrtrix_float_scaling.sh. Takes Debian's packages and nibabel into a temporary
# folder and ends with 0 while this is so, with 1 when a version behaves in another way.
# prlx: scales floats as it does integers.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
chmod 755 "$T"
cd "$T" || exit 1
apt-get download -qq mrtrix3=3.0.3-3+b1 libtiff6 libpng16-16 libjbig0 liblerc4 libdeflate0 \
  libwebp7 libjpeg62-turbo 2>"$T/log" || exit 1
for deb in *.deb; do dpkg -x "$deb" "$T/root" || exit 1; done
libs=$(find "$T/root" -name '*.so*' -exec dirname {} \; | sort -u | tr '\n' ':')
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile nibabel==5.4.2 numpy==2.4.6 || exit 1
LD_LIBRARY_PATH=$libs "$T/v/bin/python" - <<'EOF'
import subprocess

import nibabel as nib
import numpy as np

seen = {}
for dtype in (np.int16, np.float32):
    values = np.arange(60, dtype=dtype).reshape((5, 4, 3), order="F")
    h = nib.Nifti1Header()
    h.set_data_shape(values.shape)
    h.set_data_dtype(dtype)
    h.set_sform(np.eye(4), 1)
    h["magic"], h["vox_offset"] = b"n+1", 352
    h["scl_slope"], h["scl_inter"] = 2, -1024
    with open("scaled.nii", "wb") as f:
        f.write(h.binaryblock + bytes(4) + values.tobytes(order="F"))
    ours = nib.load("scaled.nii").get_fdata().mean()

    def tool(*args):
        return subprocess.run(["root/usr/bin/" + args[0], *args[1:]], check=True, text=True,
                              capture_output=True).stdout

    mean = float(tool("mrstats", "-quiet", "-output", "mean", "scaled.nii"))
    told = [line for line in tool("mrinfo", "-quiet", "scaled.nii").splitlines()
            if "scaling" in line][0].split(":")[1].strip()
    print(f"{np.dtype(dtype).name}: mrinfo {told}; mean {mean:g} (mrstats), {ours:g} (nibabel)")
    seen[np.dtype(dtype).name] = (mean, ours)
ok = seen["int16"] == (-965, -965) and seen["float32"] == (29.5, -965)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
