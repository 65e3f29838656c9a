// lab_drive.js: opens docs/lab.html in headless Chromium through its debugging pipe and presses
// every control; prints "N passed, N failed". Needs node and Chromium, nothing else.
// usage: node test/page/lab_drive.js BROWSER PAGE FOLDER [--quick]
// FOLDER: files to drop, and where screenshots and what the page saves are written.
'use strict';
const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const [browser, page, folder, quick] = process.argv.slice(2);
let passed = 0, failed = 0;

function check(good, what) {
  if (good) passed++;
  else failed++;
  if (!good || process.env.TEST_VERBOSE) console.log((good ? 'PASS ' : 'FAIL ') + what);
}

// ---- the debugging pipe: JSON texts with a zero behind each ----
const profile = fs.mkdtempSync(path.join(folder, 'profile-'));
const child = spawn(browser, ['--headless=new', '--no-sandbox', '--disable-gpu',
  '--hide-scrollbars', '--remote-debugging-pipe',
  '--user-data-dir=' + profile, '--window-size=1600,1200',
  '--disable-background-networking', '--no-first-run', 'about:blank'],
{ stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
const waiting = new Map();
let number = 0, rest = Buffer.alloc(0), session;
const problems = [];

child.stdio[4].on('data', (data) => {
  rest = Buffer.concat([rest, data]);
  for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.slice(end + 1)) {
    const m = JSON.parse(rest.slice(0, end).toString());
    if (m.id && waiting.has(m.id)) {
      const w = waiting.get(m.id);
      waiting.delete(m.id);
      if (m.error) w.badly(new Error(m.error.message));
      else w.well(m.result);
    } else if (m.method === 'Runtime.exceptionThrown') {
      problems.push(m.params.exceptionDetails.text);
    } else if (m.method === 'Network.requestWillBeSent') {
      const url = m.params.request.url;
      if (!/^(file|blob|data|about):/.test(url)) problems.push('asks the network for ' + url);
    }
  }
});

function send(method, params) {
  const id = ++number, m = { id, method, params: params || {} };
  if (session) m.sessionId = session;
  child.stdio[3].write(JSON.stringify(m) + '\0');
  return new Promise((well, badly) => waiting.set(id, { well, badly }));
}

// ---- the page ----
async function js(text) {
  const r = await send('Runtime.evaluate', { expression: '(async () => (' + text + '))()',
    awaitPromise: true, returnByValue: true });
  if (r.exceptionDetails) throw new Error(r.exceptionDetails.exception.description);
  return r.result.value;
}

const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

async function until(text, seconds) {
  for (let k = 0; k < seconds * 5; k++) {
    if (await js(text)) return true;
    await sleep(200);
  }
  return false;
}

const click = (id) => js(`$('${id}').click()`);
const set = (id, v, kind) => js(`($('${id}').value = ${JSON.stringify(v)},
  $('${id}').dispatchEvent(new Event('${kind || 'input'}')), 1)`);
const status = () => js(`$('status').textContent`);
const error = () => js(`$('error').textContent`);
const settled = () => until('!state.busy && !generating', 240);

async function shot(name) {
  const r = await send('Page.captureScreenshot', { format: 'png' });
  fs.writeFileSync(path.join(folder, name), Buffer.from(r.data, 'base64'));
}

async function give(file) {
  const { root } = await send('DOM.getDocument');
  const { nodeId } = await send('DOM.querySelector', { nodeId: root.nodeId, selector: '#file' });
  await js(`$('error').textContent = ''`);
  await send('DOM.setFileInputFiles', { nodeId, files: [path.resolve(folder, file)] });
  await sleep(100);
  await until(`asked.size === 0`, 60);
  await sleep(200);
}

const hash = (what) => js(`(() => { let h = 7; for (const v of ${what}) h = (h * 31 +
  Math.round(v * 1e6)) | 0; return h; })()`);

async function open() {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  session = (await send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
  await send('Runtime.enable');
  await send('Network.enable');
  await send('Emulation.setDeviceMetricsOverride', { width: 1600, height: 1180,
    deviceScaleFactor: 1, mobile: false });
  await send('Page.enable');
  await send('Page.navigate', { url: 'file://' + path.resolve(page) });
  check(await until(`typeof state === 'object' && state.ready`, 300), 'the page starts');
  check(/Ready/.test(await status()),
    'it says that it is ready: ' + await status() + await error());
  check(/MB/.test(await js(`$('size').textContent`)), 'it states its size');
}

async function generation() {
  await click('tab-generate');
  check(await js(`!$('panel-generate').hidden && $('panel-project').hidden`), 'second tab');
  let before = await hash('state.made');
  for (const [id, v] of [['seed', '8'], ['seed-slide', '5'], ['psi', '0.5'], ['layers', 'coarse'],
    ['mix', '12'], ['layers', 'middle'], ['layers', 'fine'], ...[0, 1, 2, 3, 4, 5].map((k) =>
      ['direction' + k, k % 2 ? '-2' : '2'])]) {
    await set(id, v);
    await settled();
    const now = await hash('state.made');
    check(now !== before, id + ' changes the picture');
    before = now;
  }
  await shot('lab_generate.png');
  await set('seed', '-4');
  check(/Seed: -4; expected a whole number/.test(await error()), 'seed -4: ' + await error());
  await click('straight');
  await set('seed', '3');
  await settled();
  await js(`(state.ends = null, 1)`);
  await set('way', '0.5');
  await sleep(500);
  check(/two ends/.test(await error()), 'a way with one end: ' + await error());
  await click('save-png2');
  await until(`/lesion.png/.test($('status').textContent)`, 20);
  check(await js(`state.saved[1] === 80`), 'a PNG is saved');
  await click('save-w2');
  await until(`/w.safetensors/.test($('status').textContent)`, 20);
  check(await js(`state.saved.length > 5120`), 'w is saved');
  fs.writeFileSync(path.join(folder, 'page_w.safetensors'),
    Buffer.from(await js(`Array.from(state.saved)`)));
  await click('as-target');
  await settled();
  check(await js(`!$('panel-project').hidden`), 'its image is the target');
}

async function run(steps) {
  await set('steps', String(steps));
  await click('go');
  check(await js('state.busy'), 'a projection runs: ' + await error());
  await settled();
}

async function projection() {
  await set('target', '0', 'change');
  await until('asked.size === 0', 30);
  await run(quick ? 6 : 40);
  check(/Done after/.test(await status()), await status() + await error());
  fs.writeFileSync(path.join(folder, 'page.json'), JSON.stringify(await js(`({
    steps: state.curves.length, lpips: state.last, ms: $('n-ms').textContent,
    image: Array.from(state.after), w: Array.from(state.ws.slice(0, 128)) })`)));
  await click('save-w');
  await until(`/w.safetensors/.test($('status').textContent)`, 20);
  await click('save-png');
  await until(`/lesion.png/.test($('status').textContent)`, 20);
  check(/to .* in \d+ steps/.test(await js(`$('chart-distance').getAttribute('aria-label')`)),
    'curves are said in words');
  const first = await js('state.last');
  await shot('lab_project.png');
  for (const id of ['reg', 'jitter', 'rampup', 'rampdown', 'optimised']) {
    await js(`($('${id}').click(), 1)`);
    await run(4);
    check(/Done after/.test(await status()), id + ' switched: ' + await status() + await error());
    await js(`($('${id}').click(), 1)`);
  }
  for (let k = 1; k <= 4; k++) {
    await set('space', String(k), 'change');
    await run(3);
    check(/Done after/.test(await status()), 'space ' + k + ': ' + await error());
  }
  await set('space', '1', 'change');
  await click('optimised');
  await click('go');
  await sleep(200);
  check(/has none/.test(await error()), 'no maps to show: ' + await error());
  await click('reset');
  check(await js(`$('space').value === '0' && !$('optimised').checked`), 'defaults');
  await set('start', '1', 'change');
  await set('seed2', '5');
  await set('focus', '1', 'change');
  await set('strength', '0.8');
  await run(3);
  check(/Done after/.test(await status()), 'random start, focus: ' + await error());
  await set('focus', '2', 'change');
  await click('go');
  await sleep(500);
  await settled();
  check(/nobody knows/.test(await error()), 'no true rim: ' + await error());
  await click('reset');
  return first;
}

async function interruptions() {
  await set('steps', '2000');
  await click('go');
  await until('state.curves.length > 3', 60);
  await click('pause');
  // heard, once only the projection itself is unanswered
  await until('asked.size === 1', 60);
  const at = await js('state.curves.length');
  await sleep(1500);
  check(at === await js('state.curves.length'), 'a pause');
  await click('pause');
  check(await until(`state.curves.length > ${at + 1}`, 60), 'it goes on');
  await click('stop');
  check(await settled() && /Done after/.test(await status()), 'stopped: ' + await status());
  await set('steps', '0');
  await click('go');
  await sleep(200);
  check(/Steps: 0; expected/.test(await error()), 'no steps: ' + await error());
  await set('solver', '1', 'change');
  await set('steps', '12');
  await click('go');
  await sleep(300);
  await settled();
  check(/Done after/.test(await status()), 'the fast solver: ' + await status() + await error());
  await set('steps', '200');
  await click('go');
  await until('state.curves.length > 2', 60);
  await click('stop');
  check(await until(`/Ready/.test($('status').textContent)`, 120), 'the fast solver stopped');
  check(await error() === '' && await js('!state.busy && asked.size === 0'),
    'nothing waits behind a stop: ' + await error());
  await click('reset');
}

// What the user dropped or made stays what it was.
async function own_targets() {
  await give('lesion.png');
  check(/lesion.png is the target/.test(await status()), 'a PNG is taken: ' + await error());
  const lesion = await hash('state.target');
  fs.mkdirSync(path.join(folder, 'other'), { recursive: true });
  for (const name of ['lesion.png', 'network_small.safetensors']) {
    fs.copyFileSync(path.join(folder, 'text.png'), path.join(folder, 'other', name));
    await give('other/' + name);
    check((await error()).includes(name), 'no lesion, but its name: ' + await error());
  }
  await run(2);
  check(/Done after/.test(await status()) && lesion === await hash('state.target'),
    'a refused target leaves the one before: ' + await error());
  await set('network', 'network_small.safetensors', 'change');
  await until('asked.size === 0', 120);
  check(await error() === '' && lesion === await hash('state.target'),
    'a dropped name takes the place of no network: ' + await error());
  await set('solver', '1', 'change');
  await click('go');
  await until('state.curves.length > 2', 60);
  await set('solver', '0', 'change');
  await js(`($('status').textContent = '', 1)`);
  await click('stop');
  check(await until(`/Ready/.test($('status').textContent)`, 120), 'the fast solver stopped again');
  check(await error() === '' && await js(`$('target').value === 'dropped'`) &&
    lesion === await hash('state.target'), 'a dropped target survives a stop: ' + await error());
  const made = await hash('state.made');
  await set('target', '0', 'change');
  await until('asked.size === 0', 30);
  await click('reset');
  await run(2);
  await click('as-target');
  await until('asked.size === 0', 30);
  check(made === await hash('state.target'), 'the lesion of the other tab, after a projection');
}

async function phantom() {
  await set('network', 'phantom_rims_network.safetensors', 'change');
  await until('asked.size === 0', 120);
  await set('target', '2', 'change');
  await until('asked.size === 0', 60);
  await js(`($('rim').checked = true, $('rim').dispatchEvent(new Event('change')), 1)`);
  check(await js('state.mask !== null && state.mask.some((v) => v > 0)'), 'the true rim is known');
  await set('focus', '2', 'change');
  await run(quick ? 5 : 60);
  check(/Done after/.test(await status()), 'focus on the rim: ' + await status() + await error());
  await shot('lab_phantom.png');
  await set('focus', '0', 'change');
  await set('network', 'network_small.safetensors', 'change');
  await until('asked.size === 0', 120);
}

// FOLDER has: small.png, colour.png, nan.safetensors, other_w.safetensors, nan_w.safetensors,
// text.png, lesion.png
async function files() {
  for (const [file, pattern] of [['small.png', /32 x 32|64/], ['text.png', /PNG/],
    ['nan.safetensors', /NaN|finite/i], ['other_w.safetensors', /another network/],
    ['nan_w.safetensors', /not finite|NaN/i], ['empty.safetensors', /\S/]]) {
    await give(file);
    const e = await error();
    check(pattern.test(e) && !/\n/.test(e), file + ': ' + e);
  }
  await give('lesion.png');
  check(/lesion.png is the target/.test(await status()), 'a PNG is taken: ' + await error());
  await give('page_w.safetensors');
  check(await js(`!$('panel-generate').hidden`), 'w is shown: ' + await error());
  await set('way', '0.5');
  await sleep(500);
  check(await error() === '', 'a way with both ends: ' + await error());
  const bytes = await js(`(() => { const d = new DataTransfer();
    d.items.add(new File(['x'], 'y.png'));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: d, cancelable: true }));
    return 1; })()`);
  await sleep(1000);
  check(bytes === 1 && /y.png/.test(await error()), 'dropped: ' + await error());
}

async function access() {
  const naked = await js(`[...document.querySelectorAll('input, select, button, canvas')]
    .filter((x) => !(x.labels && x.labels.length) && !x.getAttribute('aria-label') &&
      !x.textContent.trim())
    .map((x) => x.id)`);
  check(naked.length === 0, 'every control has a name: ' + naked);
  await click('tab-project');
  await js(`$('tab-project').focus()`);
  await send('Input.dispatchKeyEvent', { type: 'keyDown', key: 'ArrowRight', code: 'ArrowRight' });
  check(await js(`document.activeElement.id === 'tab-generate'`), 'arrows move between tabs');
  const order = [];
  for (let k = 0; k < 12; k++) {
    await send('Input.dispatchKeyEvent', { type: 'keyDown', key: 'Tab', code: 'Tab',
      windowsVirtualKeyCode: 9 });
    order.push(await js('document.activeElement.id'));
  }
  check(order.includes('seed') && order.includes('psi'), 'the keyboard reaches: ' + order);
  const shown = await js(`$('status').getAttribute('role') === 'status' &&
    $('error').getAttribute('role') === 'alert'`);
  check(shown, 'news are announced');
}

async function main() {
  await open();
  await generation();
  await projection();
  await interruptions();
  await own_targets();
  await phantom();
  await files();
  await access();
  check(problems.length === 0, 'no exception, no request: ' + problems.join('; '));
}

main().catch((e) => check(false, e.stack)).finally(() => {
  console.log(passed + ' passed, ' + failed + ' failed');
  child.kill();
  setTimeout(() => {
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 3 });
    process.exit(failed ? 1 : 0);
  }, 500);
});
