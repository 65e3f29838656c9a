"""Makes the small torch archives in test/data/import/. Optional: they are kept in the repository; this only records how they were made.
usage: python3 test/golden/make_containers.py [FOLDER]      (needs torch)
Every file holds, under its own layout: a = [[-1, -.5, 0], [.5, 1, 1.5]] float32, t = a transposed (same storage), b = [0, 1, 2, 3] int64,
h = [.25, -2] float16, e = 1.5 expanded to [2, 2] (stride 0)."""
import collections, io, os, sys, zipfile
import torch

out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "data", "import")
os.makedirs(out, exist_ok=True)


def state():
    a = torch.arange(6, dtype=torch.float32).reshape(2, 3) * 0.5 - 1
    d = collections.OrderedDict()
    d["a"] = a
    d["t"] = a.t()
    d["b"] = torch.arange(4)
    d["h"] = torch.tensor([0.25, -2]).half()
    d["e"] = torch.tensor(1.5).expand(2, 2)
    return d


for p in (1, 2, 3, 4, 5):
    torch.save(state(), f"{out}/legacy_p{p}.pth", _use_new_zipfile_serialization=False, pickle_protocol=p)
torch.save(state(), f"{out}/zip.pth")

# What a training program saves: the state dict among other things, one tensor a Parameter, one a Buffer.
d = state()
d["a"] = torch.nn.Parameter(d["a"])
d["b"] = torch.nn.Buffer(d["b"]) if hasattr(torch.nn, "Buffer") else d["b"]
torch.save({"state_dict": d, "epoch": 3, "lr": 0.1, "names": ["x", ("y", None)], "optimizer": {"state": {0: {"m": torch.zeros(2)}}}}, f"{out}/checkpoint.pth")


def rewrite(src, dst, **kw):
    with zipfile.ZipFile(src) as z, zipfile.ZipFile(dst, "w") as w:
        for i in z.infolist():
            info = zipfile.ZipInfo(i.filename, (2000, 1, 1, 0, 0, 0))
            info.compress_type = kw.get("method", zipfile.ZIP_STORED)
            with w.open(info, "w", force_zip64=kw.get("zip64", False)) as f:
                f.write(z.read(i))


rewrite(f"{out}/zip.pth", f"{out}/zip_deflated.pth", method=zipfile.ZIP_DEFLATED)
rewrite(f"{out}/zip.pth", f"{out}/zip_zip64.pth", zip64=True)


class Part(torch.nn.Module):
    def __init__(self):
        super().__init__()
        s = state()
        self.a = torch.nn.Parameter(s["a"])
        self.register_buffer("t", s["t"])
        self.flag = True

    def forward(self, x):
        return x @ self.t


class Whole(torch.nn.Module):
    def __init__(self):
        super().__init__()
        s = state()
        self.part = Part()
        self.register_buffer("b", s["b"])
        self.register_buffer("h", s["h"])
        self.e = s["e"]

    def forward(self, x):
        return self.part(x) + self.b.sum()


m = torch.jit.script(Whole())
b = io.BytesIO()
torch.jit.save(m, b)
with open(f"{out}/raw.pt", "wb") as f:
    f.write(b.getvalue())
rewrite(f"{out}/raw.pt", f"{out}/script.pt", method=zipfile.ZIP_DEFLATED)   # smaller; the layout inside stays
os.remove(f"{out}/raw.pt")
for f in sorted(os.listdir(out)):
    print(f, os.path.getsize(f"{out}/{f}"))
