// no_storage.js: a browser that lets a page from disk keep nothing.
(async function () {
  if (!window.name) {
    say('fallback', /does not let a page from disk keep data/.test($('saved').textContent));
    reader('R1');
    $('go1').click();
    await wait(200);
    press('2');
    await wait(200);
    press('Escape');
    window.onbeforeunload = null;
    location.reload();
    return;
  }
  var done = $('experiments').textContent.match(/rim lesion\? (\d+) of 12/)[1];
  say('after reload', $('code').value + done);
})();
