#!/usr/bin/env python3
"""The GPU peer of `make bench-gpu`: training, projection and features of the paper's configuration in PyTorch on the same card, doing the same arithmetic,
the way a PyTorch user would write it. Optional: nothing else of the project needs Python. Shares no code with any published implementation.

    python3 test/peer_gpu.py [--seconds 300] [--dry]

Arithmetic: fp32 (no tensor cores), tf32, fp16 (16-bit maps above 4x4, fp32 weights and optimiser). Ways: eager, and compiled (torch.compile, whose
'reduce-overhead' mode records CUDA graphs). Training: non-saturating loss, both Adams, R1 every 16, path length every 4, summed by their intervals;
no augmentation. Two forms of modulation: 'grouped' (into the weights, one grouped convolution) and 'scaled' (on the maps); the better counts.
Two layouts of maps and weights in 'scaled' form: PyTorch's usual one and channels_last, which cuDNN's tensor cores prefer; the better counts.
Random weights: speed only. --dry: tiny sizes on the CPU, to try the script."""
import argparse, statistics, time
import torch, torch.nn.functional as F

SQRT2 = 2 ** 0.5
C = dict(res=64, wdim=512, base=16384, cmax=512, device='cuda', half=False, last=False)


def channels(r): return min(C['base'] // r, C['cmax'])
def map_type(r): return torch.float16 if C['half'] and r > 4 else torch.float32
def kernel(): f = torch.tensor([1., 3., 3., 1.], device=C['device']); return torch.outer(f, f) / 64
def last(x): return x.contiguous(memory_format=torch.channels_last) if C['last'] and x.dim() == 4 else x
def sync():
    if C['device'] == 'cuda': torch.cuda.synchronize()


def fir(x, up=1, down=1, pad=(0, 0, 0, 0), gain=1.0):
    n, c, h, w = x.shape
    if up > 1:
        y = x.new_zeros(n, c, h, up, w, up); y[:, :, :, 0, :, 0] = x
        x = y.reshape(n, c, h * up, w * up)
    k = (kernel() * gain).to(x.dtype).expand(c, 1, 4, 4)
    return F.conv2d(last(F.pad(x, pad)), k, groups=c, stride=down)


def act(x, b, gain=SQRT2): return (F.leaky_relu(x + b.to(x.dtype).reshape(1, -1, 1, 1), 0.2) * gain).clamp(-256 * gain, 256 * gain)


def modconv(x, w, s, form, demod=True, up=False):
    n, ci, h, _ = x.shape; co, _, k, _ = w.shape; t = x.dtype
    if form == 'grouped':
        wm = w[None] * s[:, None, :, None, None]
        if demod: wm = wm * (wm.square().sum([2, 3, 4], keepdim=True) + 1e-8).rsqrt()
        wm = wm.to(t); x = x.reshape(1, n * ci, h, -1)
        if up: x = F.conv_transpose2d(x, wm.transpose(1, 2).reshape(n * ci, co, k, k), stride=2, groups=n)
        else: x = F.conv2d(x, wm.reshape(n * co, ci, k, k), padding=k // 2, groups=n)
        x = x.reshape(n, co, x.shape[2], x.shape[3])
    else:
        x = last(x * s.to(t)[:, :, None, None])
        x = F.conv_transpose2d(x, w.to(t).transpose(0, 1), stride=2) if up else F.conv2d(x, w.to(t), padding=k // 2)
        if demod: x = x * (s.square() @ w.square().sum([2, 3]).t() + 1e-8).rsqrt().to(t)[:, :, None, None]
    return fir(x, pad=(1, 1, 1, 1), gain=4.0) if up else x


def param(*s): return torch.nn.Parameter(last(torch.randn(*s, device=C['device'])) / (max(1, torch.tensor(s[1:]).prod().item()) ** 0.5 if len(s) > 1 else 1))


class Generator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        wd = C['wdim']; self.const = param(channels(4), 4, 4); self.layers = []; self.p = torch.nn.ParameterList(); r = 4
        while r <= C['res']:
            for up in ([False] if r == 4 else [True, False]):
                ci = channels(r // 2) if up else channels(r)
                self.layers.append((r, up, len(self.p))); self.p.extend([param(channels(r), ci, 3, 3), param(channels(r)), param(ci, wd), param(())])
            self.layers.append((r, None, len(self.p))); self.p.extend([param(1, channels(r), 1, 1), param(1), param(channels(r), wd)]); r *= 2
        self.map = torch.nn.ParameterList([param(wd, wd) for _ in range(2)]); self.mapb = torch.nn.ParameterList([param(wd) for _ in range(2)])
        self.noise_sides = [r for r, up, _ in self.layers if up is not None]

    def mapping(self, z):
        z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for w, b in zip(self.map, self.mapb): z = F.leaky_relu(F.linear(z, w * 0.01, b * 0.01), 0.2) * SQRT2
        return z

    def forward(self, ws, noises, form):
        x = self.const.expand(ws.shape[0], -1, -1, -1); img = None; i = 0
        for r, up, k in self.layers:
            s = F.linear(ws, self.p[k + 2]) + 1; x = x.to(map_type(r))
            if up is None:
                y = (modconv(x, self.p[k], s * channels(r) ** -0.5, form, demod=False) + self.p[k + 1].to(x.dtype).reshape(1, -1, 1, 1)).float()
                img = y if img is None else fir(img, up=2, pad=(2, 1, 2, 1), gain=4.0) + y
            else:
                x = act(modconv(x, self.p[k], s, form, up=up) + (noises[i] * self.p[k + 3]).to(x.dtype), self.p[k + 1]); i += 1
        return img


class Discriminator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        r = C['res']; self.rgb, self.rgbb = param(channels(r), 1, 1, 1), param(channels(r)); self.blocks = torch.nn.ParameterList()
        while r > 4:
            self.blocks.extend([param(channels(r), channels(r), 3, 3), param(channels(r)), param(channels(r // 2), channels(r), 3, 3), param(channels(r // 2)), param(channels(r // 2), channels(r), 1, 1)]); r //= 2
        n = channels(4); self.c, self.cb, self.f, self.fb, self.o = param(n, n + 1, 3, 3), param(n), param(n, n * 16), param(n), param(1, n)

    def forward(self, x):
        r = C['res']; x = x.to(map_type(r)); cv = lambda x, w, **k: F.conv2d(last(x), w.to(x.dtype), **k)
        x = act(cv(x, self.rgb), self.rgbb)
        for i in range(0, len(self.blocks), 5):
            w0, b0, w1, b1, sk = self.blocks[i:i + 5]; x = x.to(map_type(r))
            y = cv(fir(x, down=2, pad=(1, 1, 1, 1)), sk) * 0.5 ** 0.5
            x = act(cv(x, w0, padding=1), b0)
            x = act(cv(fir(x, pad=(2, 2, 2, 2)), w1, stride=2), b1, gain=1.0) + y; r //= 2
        x = x.float(); n, c, h, w = x.shape; g = min(4, n)
        y = x.reshape(g, -1, 1, c, h, w); y = y - y.mean(0); y = (y.square().mean(0) + 1e-8).sqrt().mean([2, 3, 4])
        x = torch.cat([x, y.reshape(-1, 1, 1, 1).repeat(g, 1, h, w)], 1)
        x = act(F.conv2d(x, self.c, padding=1), self.cb)
        return F.linear(F.leaky_relu(F.linear(x.flatten(1), self.f, self.fb), 0.2) * SQRT2, self.o)


class Vgg(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.plan = [64, 64, 'M', 128, 128, 'M', 256, 256, 256, 'M', 512, 512, 512, 'M', 512, 512, 512]; ci = 3; self.w = torch.nn.ParameterList()
        for c in self.plan:
            if c != 'M': self.w.append(param(c, ci, 3, 3)); ci = c
        self.requires_grad_(False)

    def forward(self, x):
        out, i = [], 0; x = last(x.to(map_type(64)))
        for c in self.plan:
            if c == 'M': x = F.max_pool2d(x, 2); continue
            x = F.relu(F.conv2d(x, self.w[i].to(x.dtype), padding=1) * SQRT2)
            if i in (1, 3, 6, 9, 12): y = x.float(); out.append((y * (y.square().sum(1, keepdim=True) + 1e-10).rsqrt() / (y.shape[2] * y.shape[3]) ** 0.5).flatten(1))
            i += 1
        return torch.cat(out, 1)


def training(batch, form, wrap):
    dev = C['device']; g, d = Generator(), Discriminator()
    go = torch.optim.Adam(g.parameters(), 2.5e-3, (0.0, 0.99), fused=dev == 'cuda'); do = torch.optim.Adam(d.parameters(), 2.5e-3, (0.0, 0.99), fused=dev == 'cuda')
    real = torch.rand(batch, 1, C['res'], C['res'], device=dev) * 2 - 1
    noise = lambda n: [torch.randn(n, 1, r, r, device=dev) for r in g.noise_sides]
    latent = lambda n: torch.randn(n, C['wdim'], device=dev)
    gen = wrap(lambda z, ns: g(g.mapping(z), ns, form)); dis = wrap(lambda x: d(x)); scale = 256.0 if C['half'] else 1.0
    def step(opt, loss):                       # constant loss scale; not finite gradients become 0, as in the reference
        (loss * scale).backward()
        for q in opt.param_groups[0]['params']:
            if q.grad is not None and C['half']: q.grad.div_(scale).nan_to_num_(0, 1e5, -1e5)
        opt.step()
    def main():
        d.requires_grad_(False); go.zero_grad(set_to_none=True); step(go, F.softplus(-dis(gen(latent(batch), noise(batch)))).mean()); d.requires_grad_(True)
        do.zero_grad(set_to_none=True)
        with torch.no_grad(): fake = gen(latent(batch), noise(batch)).clone()
        step(do, F.softplus(dis(fake)).mean() + F.softplus(-dis(real)).mean())
    def r1():
        do.zero_grad(set_to_none=True); x = real.clone().requires_grad_(True)
        gr, = torch.autograd.grad(d(x).sum(), x, create_graph=True); step(do, gr.square().sum([1, 2, 3]).mean() * 0.1)
    def pl():
        n = max(batch // 2, 1); go.zero_grad(set_to_none=True); ws = g.mapping(latent(n)); img = g(ws, noise(n), 'scaled')
        gr, = torch.autograd.grad((img * torch.randn_like(img) / C['res']).sum(), ws, create_graph=True)
        step(go, (gr.square().sum(1).sqrt() - 1).square().mean() * 2)
    return main, r1, pl


def projection(batch, form, wrap):
    dev = C['device']; g, v = Generator().requires_grad_(False), Vgg()
    w = torch.randn(batch, C['wdim'], device=dev, requires_grad=True); noises = [torch.randn(batch, 1, r, r, device=dev, requires_grad=True) for r in g.noise_sides]
    with torch.no_grad(): target = v((torch.rand(batch, 3, C['res'], C['res'], device=dev) * 255 - 120) / 60)
    opt = torch.optim.Adam([w] + noises, lr=0.1, fused=dev == 'cuda')
    def loss_of(ws):
        loss = (v(((g(ws, noises, form) + 1) * 127.5 - 120).expand(-1, 3, -1, -1) / 60) - target).square().sum(); reg = 0.
        for n in noises:
            while True:
                reg = reg + ((n * n.roll(1, 3)).mean([1, 2, 3]).square() + (n * n.roll(1, 2)).mean([1, 2, 3]).square()).sum()
                if n.shape[2] <= 8: break
                n = F.avg_pool2d(n, 2)
        return loss + reg * 1e5
    f = wrap(loss_of)
    def step():
        loss = f(w + torch.randn_like(w) * 0.05); opt.zero_grad(set_to_none=True); loss.backward(); opt.step()
        with torch.no_grad():
            for n in noises: n -= n.mean([2, 3], keepdim=True); n *= n.square().mean([2, 3], keepdim=True).rsqrt()
    return step


def clock(body, repeat, warm=3):
    def step():
        if C['device'] == 'cuda': torch.compiler.cudagraph_mark_step_begin()
        body()
    for _ in range(warm): step()
    sync(); t = []
    for _ in range(repeat): a = time.perf_counter(); step(); sync(); t.append((time.perf_counter() - a) * 1e3)
    return statistics.median(t)


def main():
    ap = argparse.ArgumentParser(); ap.add_argument('--seconds', type=float, default=300); ap.add_argument('--dry', action='store_true'); a = ap.parse_args()
    end = time.time() + a.seconds; left = lambda: end - time.time()
    if a.dry: C.update(res=16, wdim=16, base=128, cmax=16, device='cpu')
    repeat = 2 if a.dry else 10; name = torch.cuda.get_device_name() if C['device'] == 'cuda' else 'CPU, DRY RUN: not a measurement'
    print(f'# torch {torch.__version__}, {name}', flush=True)
    ways = [('eager', lambda f: f)] + ([] if a.dry else [('compiled', lambda f: torch.compile(f, mode='reduce-overhead'))])
    cases = [('train', b, f) for b in ((4,) if a.dry else (64,)) for f in ('scaled', 'channels_last', 'grouped')] + [('project', b, f) for b in ((1,) if a.dry else (1, 8, 100)) for f in ('scaled', 'channels_last', 'grouped')] + [('features', 64, '-')]
    for tag, wrap in ways:
        for arith in ('fp16', 'tf32', 'fp32'):
            C['half'] = arith == 'fp16' and not a.dry
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arith != 'fp32'; torch.backends.cudnn.benchmark = True
            for kind, b, form in cases:
                if left() < 15 or (tag == 'compiled' and left() < 60): print(f'{kind} {b} {form} {arith} {tag}: skipped, no time left', flush=True); continue
                torch.manual_seed(0); C['last'] = form == 'channels_last'; how = 'scaled' if C['last'] else form
                try:
                    if kind == 'train':
                        m, r1, pl = training(b, how, wrap); tm, tr, tp = clock(m, repeat), clock(r1, repeat), clock(pl, repeat)
                        print(f'training, batch {b}, {form}, {arith}, {tag}: main {tm:.1f} ms, R1 {tr:.1f} ms, path {tp:.1f} ms, {(tm + tr / 16 + tp / 4) / b:.3f} s/kimg', flush=True)
                    elif kind == 'project':
                        t = clock(projection(b, how, wrap), repeat); print(f'projection, {b} lesions, {form}, {arith}, {tag}: {t:.2f} ms per step, {t:.1f} s for 1000 steps', flush=True)
                    elif not a.dry:
                        import torchvision
                        net = torchvision.models.inception_v3(weights=None, init_weights=False).eval().to(C['device']); net.fc = torch.nn.Identity()
                        dt = torch.float16 if C['half'] else torch.float32; x = torch.randn(b, 3, 299, 299, device=C['device'], dtype=dt); net = wrap(net.to(dt))
                        with torch.no_grad(): t = clock(lambda: net(x), repeat)
                        print(f'Inception-v3 features, batch {b}, {arith}, {tag}: {b / t * 1e3:.0f} images/s', flush=True)
                except Exception as x: print(f'{kind} {b} {form} {arith} {tag}: failed: {str(x).splitlines()[0] if str(x) else type(x).__name__}', flush=True)


if __name__ == '__main__': main()
