#!/bin/sh
# Finding: safetensors.numpy.save_file of safetensors 0.8.0 writes another tensor than it is given
# when the numpy array is not in C order, without an error: a transposed weight matrix (as one
# makes it to bring Dense weights into PyTorch's layout), a picture moved from NHWC to NCHW, every
# second channel of a slice. Shape and type are right, the numbers are those of the memory behind
# the view. 0.7.0 wrote all of them right. (Known to the authors since August 2026, issue 825.)
#
# usage: sh findings/safetensors_numpy_order.sh. Installs the packages in temporary folders and
# ends with 0 while this is so, with 1 when a version behaves in another way.
# prlx: no reader of such a file can know; export weights with np.ascontiguousarray.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" && "$T/v/bin/pip" install -q --no-compile numpy==2.4.6 || exit 1
for version in 0.7.0 0.8.0; do
  "$T/v/bin/pip" install -q --no-compile --no-deps --target "$T/$version" \
    safetensors==$version || exit 1
done
cd "$T" || exit 1
cat >right.py <<'EOF'
import numpy as np
from safetensors.numpy import load_file, save_file

weight = np.arange(24, dtype=np.float32).reshape(4, 6)
nhwc = np.arange(96, dtype=np.float32).reshape(2, 4, 4, 3)
views = {"plain": weight, "transposed": weight.T, "NCHW": nhwc.transpose(0, 3, 1, 2),
         "every second column": weight[:, ::2]}
save_file(views, "views.safetensors")
back = load_file("views.safetensors")
print(", ".join(f"{k}: {'right' if np.array_equal(v, back[k]) else 'wrong'}"
                for k, v in views.items()))
EOF
old=$(PYTHONPATH=$T/0.7.0 "$T/v/bin/python" right.py) || exit 1
new=$(PYTHONPATH=$T/0.8.0 "$T/v/bin/python" right.py) || exit 1
echo "0.7.0: $old"
echo "0.8.0: $new"
case "$old" in *wrong*) echo changed && exit 1 ;; esac
if [ "$new" = "plain: right, transposed: wrong, NCHW: wrong, every second column: wrong" ]; then
  echo "as found"
else
  echo changed
  exit 1
fi
