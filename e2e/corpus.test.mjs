// Pages as real applications serve them, with captcha_inject and without: the
// same document but for what was put in, and no error.
import assert from 'node:assert/strict';
import {generated, huge, pages, serve, sites, snapshot} from './lib/corpus.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(sites);
serve(w.app);
w.app.pages['/corpus/huge'] = huge();

// One tab with scripts and one without, for all pages: that is quicker.
const tabs = {
  on: await w.visitor(),
  off: await w.visitor(undefined, {javaScriptEnabled: false}),
};

// look loads a page and tells what it is, and what was wrong.
async function look(host, name, scripts) {
  const page = tabs[scripts];
  page.faults.length = 0;
  await page.goto(w.https(host, '/corpus/' + name), {waitUntil: 'load'});
  return {page, text: await page.evaluate(snapshot), faults: page.faults.map((text) => text.replaceAll(host, ''))};
}

// same compares a page with what it is without us.
async function same(name, scripts) {
  const [plain, injected] = [await look('plain.test', name, scripts), await look('site.test', name, scripts)];
  assert.equal(injected.text, plain.text, `${name}, scripts ${scripts}: the document has changed`);
  assert.deepEqual(injected.faults, plain.faults, `${name}, scripts ${scripts}: errors`);
  return injected.page;
}

// owned lists those of the selected forms that have a field of ours. It runs in a page.
const owned = (selectors) => selectors.filter((selector) => {
  const form = document.querySelector(selector);
  if (!form) throw new Error('there is no ' + selector);
  return [...document.querySelectorAll('input[data-captcha-inject][type=hidden]')].some((input) => input.form === form);
});

for (const [name, {forms = [], others = [], untouched}] of Object.entries(pages)) {
  test(`${name}: nothing of the page changes`, async () => {
    const still = await same(name, 'off');
    const scripts = await still.locator('script[data-captcha-inject]').count();
    assert.equal(scripts, untouched ? 0 : 1, 'scripts put in');
    if (!untouched) assert.deepEqual(await still.evaluate(owned, [...forms, ...others]), forms, 'forms with our fields');
    await same(name, 'on');
  });
}

test('a page of 2 MB', async () => {
  const page = await same('huge', 'off');
  assert.deepEqual(await page.evaluate(owned, ['#middle', '#end']), ['#middle', '#end']);
  await same('huge', 'on');
});

test('the script runs before the page’s own', async () => {
  w.app.pages['/corpus/order'] = html('<form method="post" action="/send"></form>', '<script>document.title = document.scripts[0].dataset.captchaInject === "" && document.scripts.length;</script>');
  const {page} = await look('site.test', 'order', 'on');
  assert.equal(await page.title(), '2');
});

test('pages of tags in any order', async () => {
  const texts = generated(600);
  w.app.pages['/generated'] = (seen, res) => {
    res.writeHead(200, {'Content-Type': 'text/html; charset=utf-8'}).end(texts[seen.url.split('=')[1]]);
  };
  const page = tabs.on;
  await page.goto(w.https('plain.test', '/corpus/minified'));
  const rewritten = [];
  for (let i = 0; i < texts.length; i++) rewritten.push((await w.request(w.https('site.test', `/generated?n=${i}`))).text);
  assert.ok(rewritten.filter((text) => text.includes('name="altcha"')).length > 100);
  const differ = await page.evaluate(([code, texts, rewritten]) => {
    const look = (0, eval)(`(${code})`);
    const parse = (text) => look(new DOMParser().parseFromString(text, 'text/html'));
    return texts.filter((text, i) => parse(text) !== parse(rewritten[i]));
  }, [String(snapshot), texts, rewritten]);
  assert.deepEqual(differ, []);
});
