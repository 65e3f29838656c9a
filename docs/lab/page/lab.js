// lab.js: the page of the inversion lab: controls, pictures, curves. What is computed is computed
// in worker.js; the order of numbers is that of docs/lab/lab.h.
'use strict';
const $ = (id) => document.getElementById(id);
const N = { step: 0, rate: 1, jitter: 2, dist: 3, taps: 4, inside: 9, outside: 10, reg: 11,
  away: 12 };
const LAYERS = { none: [1, 0], coarse: [0, 2], middle: [3, 6], fine: [7, 9] };
const TARGETS = [
  ['ambiguous_lesion.png', 0, 'a real ambiguous lesion'],
  ['phantom_rims.safetensors', 1, 'simulated: a rim, both readers saw it'],
  ['phantom_rims.safetensors', 2, 'simulated: a rim, clear'],
  ['phantom_rims.safetensors', 3, 'simulated: a small rim'],
  ['phantom_rims.safetensors', 4, 'simulated: ambiguous, one reader saw a rim'],
  ['phantom_rims.safetensors', 6, 'simulated: none, but hollow'],
  ['own', 0, 'the lesion on the other tab: its w is known']
];
// fast: the solver of the projection that runs. dropped: a target of the user's: its name in the
// program and on the disk, its bytes.
const state = { side: 64, target: null, mask: null, after: null, ws: null, made: null, busy: false,
  paused: false, fast: false, curves: [], ready: false, dropped: null };
const STOPPED = new Error('stopped');

// ---- the worker ----
const source = $('worker-source').textContent;
let worker, asked, count = 0;

function open_worker() {
  worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  asked = new Map();
  worker.onmessage = (message) => {
    const m = message.data;
    if (m.step) return on_step(m);
    const a = asked.get(m.id);
    asked.delete(m.id);
    if (m.ok) a.well(m);
    else a.badly(new Error(m.error));
  };
  worker.onerror = (e) => fail(new Error('the program could not be run: ' + e.message));
}

function ask(what, more, move) {
  const id = ++count;
  return new Promise((well, badly) => {
    asked.set(id, { well, badly });
    worker.postMessage(Object.assign({ id, do: what }, more), move || []);
  });
}

function say(text) { $('status').textContent = text; }
function fail(e) { $('error').textContent = e.message; }
function clear_error() { $('error').textContent = ''; }

const embedded = (id) => $('file-' + id).textContent;

async function load_program() {
  open_worker();
  await ask('start', { wasm: embedded('lab.wasm') });
  for (const f of ['network_small.safetensors', 'phantom_rims_network.safetensors',
    'ambiguous_lesion.png', 'phantom_rims.safetensors'])
    await ask('file', { name: f, base64: embedded(f) });
  if (state.dropped) await ask('file', { name: state.dropped[0], data: state.dropped[3] });
  await load_network();
  await ask('file', { name: 'vgg16.safetensors', base64: embedded('vgg16.safetensors') });
  await ask('vgg', { name: 'vgg16.safetensors' });
  state.ready = true;
}

async function load_network() {
  const r = await ask('network', { name: $('network').value });
  state.side = r.dims[0];
  state.ws = null;
  state.ends = null;
  for (let k = 0; k < 6; k++)
    $('share' + k).textContent = (100 * r.shares[k]).toFixed(1) + ' %';
  await generate();
  await choose_target();
}

// ---- pictures ----
function paint(canvas, pixels, shade) {
  const side = state.side, c = canvas.getContext('2d'), image = c.createImageData(side, side);
  canvas.width = canvas.height = side;
  for (let i = 0; i < side * side; i++) shade(pixels[i], image.data, 4 * i, i);
  c.putImageData(image, 0, 0);
}

function grey(v, to, at) {
  const g = Math.max(0, Math.min(255, Math.floor(v * 127.5 + 128)));
  to[at] = to[at + 1] = to[at + 2] = g;
  to[at + 3] = 255;
}

// Dark at zero, blue below, orange above; full colour at half the range of the picture.
function diverging(v, to, at) {
  const t = Math.max(-1, Math.min(1, v)), a = Math.abs(t);
  const end = t < 0 ? [40, 110, 255] : [255, 96, 32];
  for (let k = 0; k < 3; k++) to[at + k] = 18 + (end[k] - 18) * Math.sqrt(a);
  to[at + 3] = 255;
}

function outlined(i) {
  const m = state.mask, s = state.side, x = i % s;
  if (!m || !$('rim').checked || !m[i]) return false;
  return x === 0 || x === s - 1 || i < s || i >= s * (s - 1) || !m[i - 1] || !m[i + 1] ||
    !m[i - s] || !m[i + s];
}

function with_rim(v, to, at, i) {
  grey(v, to, at);
  if (!outlined(i)) return;
  to[at] = 140;
  to[at + 1] = 233;
  to[at + 2] = 154;
}

function show() {
  if (state.target) paint($('before'), state.target, with_rim);
  if (state.after) paint($('after'), state.after, with_rim);
  if (state.target && state.after)
    paint($('difference'), state.after.map((v, i) => v - state.target[i]), diverging);
}

// ---- curves ----
function curve(canvas, lines, logarithmic) {
  const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (!w) return;
  canvas.width = w * ratio;
  canvas.height = h * ratio;
  const c = canvas.getContext('2d'), left = 48, right = 10, top = 10, bottom = 24;
  c.scale(ratio, ratio);
  c.font = '13px system-ui, sans-serif';
  const f = logarithmic ? (v) => Math.log10(Math.max(v, 1e-12)) : (v) => v;
  const all = lines.flatMap((l) => l.values.map(f)).filter(Number.isFinite);
  if (!all.length) return;
  let lo = logarithmic ? Math.min(...all) : 0, hi = Math.max(...all);
  if (hi - lo < 1e-6) hi = lo + 1;
  const n = Math.max(...lines.map((l) => l.values.length)), last = Math.max(n - 1, 1);
  const x = (i) => left + (w - left - right) * i / last;
  const y = (v) => top + (h - top - bottom) * (hi - v) / (hi - lo);
  c.strokeStyle = '#323a46';
  c.fillStyle = '#b3bcc8';
  for (let k = 0; k <= 3; k++) {
    const v = lo + (hi - lo) * k / 3;
    c.beginPath();
    c.moveTo(left, y(v));
    c.lineTo(w - right, y(v));
    c.stroke();
    c.fillText(short(logarithmic ? 10 ** v : v), 4, y(v) + 4);
  }
  c.fillText('step 0', left, h - 7);
  const end = String(n - 1);
  c.fillText(end, w - right - c.measureText(end).width, h - 7);
  for (const l of lines) {
    c.strokeStyle = l.colour;
    c.lineWidth = 2.5;
    c.beginPath();
    l.values.forEach((v, i) => i ? c.lineTo(x(i), y(f(v))) : c.moveTo(x(i), y(f(v))));
    c.stroke();
  }
}

function short(v) {
  return v === 0 ? '0' : Math.abs(v) >= 100 || Math.abs(v) < 0.001 ? v.toExponential(0)
    : String(+v.toPrecision(2));
}

const COLOURS = ['#4cc2ff', '#ffb454', '#8ce99a'];
let drawn = false;

function draw_curves() {
  drawn = false;
  const first = state.curves[0], end = state.curves[state.curves.length - 1];
  for (const [id, what, k] of [['chart-distance', 'Curve of the distance', N.dist],
    ['chart-reg', 'Curve of the noise regulariser', N.reg],
    ['chart-away', 'Curve of the distance of w from the mean', N.away]])
    if (end)
      $(id).setAttribute('aria-label', what + ': from ' + short(first[k]) + ' to ' + short(end[k]) +
        ' in ' + state.curves.length + ' steps');
  const s = state.curves, line = (f, k) => ({ values: s.map(f), colour: COLOURS[k] });
  curve($('chart-distance'), [line((t) => t[N.dist], 0)], true);
  curve($('chart-reg'), [line((t) => t[N.reg], 0)], true);
  curve($('chart-away'), [line((t) => t[N.away], 0), line((t) => 10 * t[N.rate], 1),
    line((t) => t[N.jitter], 2)], false);
}

// ---- projection ----
function on_step(m) {
  const t = m.step;
  state.curves.push(t);
  if (m.image) {
    state.after = m.image;
    show();
  }
  $('n-step').textContent = t[N.step];
  $('n-dist').textContent = t[N.dist].toFixed(4);
  $('n-taps').textContent = t.slice(N.taps, N.taps + 5).map((v) => v.toFixed(3)).join('  ');
  $('n-reg').textContent = t[N.reg] ? t[N.reg].toExponential(2) : '0';
  $('n-away').textContent = t[N.away].toFixed(3) + ' sd';
  $('n-ms').textContent = m.ms.toFixed(0);
  if (!drawn) {
    drawn = true;
    requestAnimationFrame(draw_curves);
  }
  if (t[N.step] % 25 === 0)
    say('Step ' + t[N.step] + ' of ' + $('steps').value + ', LPIPS ' + t[N.dist].toFixed(4) + '.');
}

function options() {
  const on = (id) => $(id).checked, number = (id) => +$(id).value;
  const steps = whole('steps', 1, 2000), seed = whole('seed2', 0, 999999);
  return [number('solver'), number('space'), steps, 0.1, on('jitter') ? 0.05 : 0,
    on('reg') ? 1e5 : 0, on('rampup') ? 0.05 : 0, on('rampdown') ? 0.25 : 0, 0.75, seed,
    number('start'), number('focus'), number('strength'), 0.25, 3,
    on('optimised') || number('space') === 4 ? 1 : 0, number('solver') === 1 ? 1 : 0];
}

function whole(id, lo, hi) {
  const v = +$(id).value;
  if ($(id).value === '' || !Number.isInteger(v) || v < lo || v > hi)
    throw new Error($(id).labels[0].textContent + ': ' + ($(id).value || 'nothing') +
      '; expected a whole number from ' + lo + ' to ' + hi);
  return v;
}

function busy(on) {
  state.busy = on;
  state.paused = false;
  for (const id of ['go', 'target', 'network', 'file', 'as-target']) $(id).disabled = on;
  $('pause').disabled = !on || state.fast;
  $('stop').disabled = !on;
  $('pause').textContent = 'Pause';
}

async function project() {
  const o = options();
  if (!o[15] || o[1] === 0 || o[1] === 2 || o[1] === 4) {
    /* the maps shown exist */
  } else {
    throw new Error('optimised noise maps: ' + $('space').selectedOptions[0].textContent +
      ' has none; choose W, W+ or the noise maps');
  }
  state.curves = [];
  state.after = null;
  state.fast = o[0] === 1;
  busy(true);
  say('Projecting.');
  try {
    const r = await ask('project', { options: o, frames: 5 });
    state.after = r.image;
    state.ws = r.ws;
    state.ends = r.ws;
    $('after-says').textContent = 'after ' + r.steps + ' steps, LPIPS ' + r.lpips.toFixed(4);
    say('Done after ' + r.steps + ' steps: LPIPS ' + r.lpips.toFixed(4) + '.');
    state.last = r.lpips;
    $('after').setAttribute('aria-label', 'Projection after ' + r.steps + ' steps, distance ' +
      r.lpips.toFixed(4));
    show();
    draw_curves();
  } finally {
    busy(false);
  }
}

async function stop() {
  if (!state.busy) return;
  if (state.fast) {
    // the fast solver is one call: it ends with its thread, and with it whatever was asked
    worker.terminate();
    for (const a of asked.values()) a.badly(STOPPED);
    say('Stopped; the program starts again.');
    state.ready = false;
    await load_program();
    say('Ready.');
    return;
  }
  await ask('stop');
}

async function pause() {
  state.paused = !state.paused;
  $('pause').textContent = state.paused ? 'Continue' : 'Pause';
  await ask(state.paused ? 'pause' : 'go');
}

async function choose_target() {
  const t = state.dropped && $('target').value === 'dropped' ? state.dropped
    : TARGETS[+$('target').value] || TARGETS[0];
  const r = t[0] === 'own' ? await ask('own', { image: state.made })
    : await ask('target', { name: t[0], index: t[1] });
  state.target = r.target;
  state.mask = r.mask;
  state.after = null;
  $('rim').disabled = !r.mask;
  $('after-says').textContent = 'after';
  $('after').getContext('2d').clearRect(0, 0, 64, 64);
  $('difference').getContext('2d').clearRect(0, 0, 64, 64);
  show();
}

// A PNG or data set becomes the target; latents are shown on the other tab. In the program the file
// has a name of ours: whatever the user calls it, it takes the place of no network, and the table
// of files does not fill up. Refused, the target before stays.
async function take_file(file) {
  if (file.size > 64e6)
    throw new Error(file.name + ': ' + file.size + ' bytes; expected at most 64 MB');
  const data = new Uint8Array(await file.arrayBuffer()), png = /\.png$/i.test(file.name);
  const latents = !png && /latent|(^|[^a-z])w[^a-z]/.test(file.name);
  const name = png ? 'dropped.png' : latents ? 'dropped_w.safetensors' : 'dropped.safetensors';
  try {
    await ask('file', { name, data });
    if (latents) await show_latents(name, file.name);
    else await drop_target([name, 0, file.name, data]);
  } catch (x) {
    if (x === STOPPED) throw x;
    if (state.dropped && state.dropped[0] === name)
      await ask('file', { name, data: state.dropped[3] });
    throw new Error(x.message.replaceAll(name, file.name));
  }
}

async function show_latents(name, title) {
  const r = await ask('latents', { name });
  state.made = r.image;
  state.ws = r.ws;
  state.ends = r.ws;
  choose_tab('generate');
  show_made('w of ' + title);
}

async function drop_target(dropped) {
  await ask('target', { name: dropped[0], index: 0 });
  state.dropped = dropped;
  let o = document.querySelector('#target option[value=dropped]');
  if (!o) {
    o = document.createElement('option');
    o.value = 'dropped';
    $('target').append(o);
  }
  o.textContent = dropped[2];
  $('target').value = 'dropped';
  await choose_target();
  say(dropped[2] + ' is the target.');
}

// ---- generation ----
function show_made(text) {
  paint($('made'), state.made, grey);
  $('made-says').textContent = text;
}

let again = false, generating = false;

// Sliders move faster than networks: the newest position counts.
async function generate() {
  again = true;
  if (generating) return;
  generating = true;
  try {
    while (again) {
      again = false;
      const [first, last] = LAYERS[$('layers').value];
      const directions = [0, 1, 2, 3, 4, 5].map((k) => +$('direction' + k).value);
      const seed = whole('seed', 0, 4294967295), psi = +$('psi').value;
      const mix = $('layers').value === 'none' ? -1 : +$('mix').value;
      const r = await ask('generate', { seed, psi, mix, first, last, directions });
      state.made = r.image;
      state.shown = null;
      show_made('seed ' + seed + ', truncation ' + psi + (mix < 0 ? '' : ', ' + $('layers').value +
        ' layers of seed ' + mix));
    }
  } finally {
    generating = false;
  }
}

async function way() {
  const r = await ask('between', { seed: whole('seed', 0, 4294967295), t: +$('way').value,
    ws: state.ends || null });
  state.made = r.image;
  show_made('on the way from seed ' + $('seed').value + ', share ' + $('way').value);
}

async function save(what, image, ws) {
  const name = what === 'w' ? 'w.safetensors' : 'lesion.png';
  const r = await ask('save', { name, image, ws });
  const a = document.createElement('a');
  a.href = URL.createObjectURL(new Blob([r.data]));
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
  state.saved = r.data;
  say(name + ': ' + r.data.length + ' bytes.');
}

// ---- controls ----
function choose_tab(which) {
  for (const k of ['project', 'generate']) {
    const on = k === which;
    $('tab-' + k).setAttribute('aria-selected', on);
    $('tab-' + k).tabIndex = on ? 0 : -1;
    $('panel-' + k).hidden = !on;
  }
  if (which === 'project') draw_curves();
}

function doing(f) {
  return async (e) => {
    clear_error();
    try {
      await f(e);
    } catch (x) {
      if (x !== STOPPED) fail(x);
    }
  };
}

function on(id, what, f) { $(id).addEventListener(what, doing(f)); }

function defaults() {
  for (const id of ['space', 'solver', 'start', 'focus']) $(id).value = '0';
  for (const id of ['reg', 'jitter', 'rampup', 'rampdown']) $(id).checked = true;
  $('optimised').checked = false;
  $('steps').value = 150;
  $('seed2').value = 0;
  $('strength').value = $('strength-out').value = 0.5;
}

function solver_changed() {
  const fast = $('solver').value === '1';
  if (fast) $('space').value = '1';
  for (const id of ['jitter', 'rampup', 'rampdown']) $(id).disabled = fast;
  $('steps').value = fast ? 200 : 150;
}

function build_controls() {
  TARGETS.forEach((t, k) => {
    const o = document.createElement('option');
    o.value = k;
    o.textContent = t[2];
    $('target').append(o);
  });
  for (let k = 0; k < 6; k++) {
    const l = document.createElement('label'), r = document.createElement('input'),
      out = document.createElement('output'), share = document.createElement('span');
    r.type = 'range';
    r.id = 'direction' + k;
    r.min = -3;
    r.max = 3;
    r.step = 0.25;
    r.value = 0;
    out.id = 'direction' + k + '-out';
    out.value = 0;
    share.id = 'share' + k;
    l.htmlFor = r.id;
    l.append('direction ' + (k + 1) + ', ', share, ' of the variance');
    $('directions').append(l, r, out);
  }
}

function arrows(e) {
  if (e.key !== 'ArrowLeft' && e.key !== 'ArrowRight') return;
  const other = e.target.id === 'tab-project' ? 'generate' : 'project';
  choose_tab(other);
  $('tab-' + other).focus();
}

function connect() {
  for (const k of ['project', 'generate']) {
    on('tab-' + k, 'click', () => choose_tab(k));
    $('tab-' + k).addEventListener('keydown', arrows);
  }
  const directions = [0, 1, 2, 3, 4, 5].map((k) => 'direction' + k);
  for (const id of ['psi', 'mix', 'way', 'strength', ...directions])
    $(id).addEventListener('input', () => { $(id + '-out').value = $(id).value; });
  for (const id of ['psi', 'mix', 'layers', 'seed', ...directions])
    on(id, 'input', generate);
  on('seed-slide', 'input', () => {
    $('seed').value = $('seed-slide').value;
    return generate();
  });
  on('way', 'input', way);
  on('straight', 'click', () => {
    for (let k = 0; k < 6; k++) $('direction' + k).value = $('direction' + k + '-out').value = 0;
    $('psi').value = $('psi-out').value = 1;
    $('layers').value = 'none';
    $('way').value = $('way-out').value = 0;
    return generate();
  });
  on('as-target', 'click', async () => {
    $('target').value = String(TARGETS.length - 1);
    await choose_target();
    choose_tab('project');
  });
  on('network', 'change', load_network);
  on('target', 'change', choose_target);
  on('solver', 'change', solver_changed);
  on('rim', 'change', show);
  on('go', 'click', project);
  on('pause', 'click', pause);
  on('stop', 'click', stop);
  on('reset', 'click', () => {
    defaults();
    solver_changed();
    $('space').value = '0';
  });
  on('save-w', 'click', () => {
    if (!state.ws) throw new Error('nothing to save: project a lesion first');
    return save('w', null, state.ws);
  });
  on('save-png', 'click', () => {
    if (!state.after) throw new Error('nothing to save: project a lesion first');
    return save('png', state.after, null);
  });
  on('save-w2', 'click', async () => {
    await generate();
    return save('w', null, null);
  });
  on('save-png2', 'click', () => save('png', state.made, null));
  on('file', 'change', () => $('file').files.length ? take_file($('file').files[0]) : null);
  for (const kind of ['dragenter', 'dragover'])
    document.addEventListener(kind, (e) => {
      e.preventDefault();
      $('drop').classList.add('over');
    });
  document.addEventListener('dragleave', () => $('drop').classList.remove('over'));
  document.addEventListener('drop', doing((e) => {
    e.preventDefault();
    $('drop').classList.remove('over');
    if (state.busy) throw new Error('a projection is running; stop it first');
    return e.dataTransfer.files.length ? take_file(e.dataTransfer.files[0]) : null;
  }));
  window.addEventListener('resize', draw_curves);
}

build_controls();
connect();
load_program().then(() => say('Ready.'), fail);
