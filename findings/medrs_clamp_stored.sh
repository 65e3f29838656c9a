#!/bin/sh
# Finding: clamp of medrs 0.2.0 cuts the stored numbers of a file with a slope and an offset, not
# the values. A susceptibility map from -1 to 0.996 ppm, stored as 1000 to 2996 with slope 0.001
# and offset -2, cut to -0.5 to 0.5, is -2 in every voxel, in memory and in the file that is saved.
# crop_or_pad pads such a map with -2 for 0. The same clamp as a step of a TransformPipeline, which
# the manual gives as the same thing, and after with_dtype("float32") gives -0.5 to 0.5.
#
# usage: sh findings/medrs_clamp_stored.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# prlx: slope and offset are applied before anything else is done to a volume.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --target "$T/p" medrs==0.2.0 \
  nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
PYTHONPATH=$T/p python3 - <<'EOF'
import medrs
import nibabel as nib
import numpy as np

stored = np.linspace(1000, 2996, 480).astype(np.int16).reshape(10, 8, 6)
h = nib.Nifti1Header()
h.set_data_shape(stored.shape)
h.set_data_dtype(np.int16)
h.set_sform(np.eye(4), 1)
h["magic"], h["vox_offset"], h["scl_slope"], h["scl_inter"] = b"n+1", 352, 0.001, -2
with open("map.nii", "wb") as f:
    f.write(h.binaryblock + bytes(4) + stored.tobytes(order="F"))
image = medrs.load("./map.nii")
steps = medrs.TransformPipeline()
steps.clamp(-0.5, 0.5)
cut = image.clamp(-0.5, 0.5)
cut.save("./cut.nii")
seen = {
    "as loaded": image.to_numpy(),
    "clamp": cut.to_numpy(),
    "clamp, from the file": nib.load("cut.nii").get_fdata(),
    "clamp in a pipeline": steps.apply(image).to_numpy(),
    "with_dtype, clamp": image.with_dtype("float32").clamp(-0.5, 0.5).to_numpy(),
    "crop_or_pad, the border": image.crop_or_pad([12, 10, 8]).to_numpy()[0],
}
found = {"as loaded": (-1, 0.996), "clamp": (-2, -2), "clamp, from the file": (-2, -2),
         "clamp in a pipeline": (-0.5, 0.5), "with_dtype, clamp": (-0.5, 0.5),
         "crop_or_pad, the border": (-2, -2)}
for name, v in seen.items():
    print(f"{name}: {v.min():.3f} to {v.max():.3f}")
ok = all(np.allclose((v.min(), v.max()), found[name], atol=1e-5) for name, v in seen.items())
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
