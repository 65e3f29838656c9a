// study.js: keys, undo, saved state over a reload, export, import.
async function first() {
  $('go0').click();
  say('needs code', $('view').hidden && /reader code/.test($('message').textContent));
  reader('R1');
  $('go0').click();
  await wait(200);
  say('viewer', !$('view').hidden && $('question').textContent);
  var tall = document.documentElement.scrollHeight, image = $('image').clientHeight;
  var bottom = $('keys').getBoundingClientRect().bottom;
  say('fits', [window.innerHeight, tall, image, bottom,
    tall <= window.innerHeight && image > 250 && bottom < window.innerHeight + 20].join(' '));
  var first = $('view').dataset.item, g = grey();
  press('1', { repeat: true });
  say('held key ignored', $('view').dataset.item === first);
  press('ArrowUp');
  press('ArrowUp');
  await wait(20);
  say('brighter', grey() >= g && /L 115/.test($('corner').textContent));
  press('0');
  press('+');
  say('zoom', $('zoomout').textContent);
  press('0');
  press('1');
  press('1');
  say('busy blocks', $('state').textContent.match(/slice (\d+)/)[1]);
  await wait(200);
  press('2');
  await wait(200);
  press('1');
  await wait(200);
  say('progress', $('bar').value + '/' + $('bar').max);
  press('Backspace');
  await wait(200);
  say('undo', $('bar').value);
  press('z', { ctrlKey: true });
  await wait(200);
  say('undo twice', $('bar').value);
  press('2');
  await wait(200);
  press('Escape');
  say('paused', $('experiments').textContent.match(/(\d+) of 12/)[1]);
  say('saved', /saved at once/.test($('saved').textContent));
  sessionStorage.out = out.textContent;
  location.reload();
}
async function second() {
  out.textContent = sessionStorage.out;
  say('still there', $('code').value + $('experiments').textContent.match(/(\d+) of 12/)[1]);
  await file('nonsense', 'x.csv');
  say('no csv', $('message').textContent);
  await file('study,experiment,item,answer\n00000000,source,abc,real\n', 'x.csv');
  say('other study', $('message').textContent);
  $('go0').click();
  await wait(200);
  for (var i = 0; i < 10; i++) {
    press('1');
    await wait(150);
  }
  say('finished', $('view').hidden && $('message').textContent);
  $('go0').click();
  await wait(200);
  say('reopened', $('bar').value);
  press('2');
  await wait(200);
  var csv = $('text').value, other = csv.replace(/,R1,/g, ',"R ""9""",');
  say('rows', csv.trim().split('\n').length);
  localStorage.clear();
  await file(other, 'a.csv');
  say('imported', $('message').textContent + $('code').value);
  await file(other, 'a.csv');
  say('again', $('message').textContent);
  say('csv', '\n' + $('text').value + 'end');
}
if (sessionStorage.out) second();
else first();
