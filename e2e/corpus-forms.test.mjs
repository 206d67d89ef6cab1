// The forms of the corpus, filled in and sent by a visitor: the app gets what it
// would have got without us, byte by byte, after our token; nobody sees a
// challenge page.
import assert from 'node:assert/strict';
import {pages, serve, sites} from './lib/corpus.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(sites);
serve(w.app);
const page = await w.visitor(); // one tab for all: that is quicker

// words to type; a page's charset may lack some of them
const words = 'Zoë & 日本 ☃ "<\\';

// send fills in a form and presses its button, as a visitor does, and returns
// what has arrived.
async function send(host, name, selector, button) {
  w.app.reset();
  page.faults.length = 0;
  await page.goto(w.https(host, '/corpus/' + name), {waitUntil: 'load'});
  const press = (await page.evaluateHandle(fill, [selector, button, words])).asElement();
  if (await press.isVisible() && !pages[name].byScript) await press.click({noWaitAfter: true});
  else await press.evaluate((e) => e.localName === 'form' ? e.requestSubmit() : e.click());
  const seen = await w.app.one();
  const {frame} = pages[name];
  await (frame ? page.frameLocator(frame) : page).locator('#received').waitFor();
  return {seen, faults: [...page.faults]};
}

// fill fills in the empty fields of a form and returns its button, or the form
// where it has none. It runs in a page. Typing would go astray where a page moves
// the focus.
function fill([selector, button, words]) {
  const form = document.querySelector(selector);
  const {get} = Object.getOwnPropertyDescriptor(HTMLFormElement.prototype, 'elements');
  const all = [...get.call(form)];
  for (const field of all) {
    if (field.value || field.disabled || !['textarea', 'text', 'password', 'email'].includes(field.type)) continue;
    field.focus();
    field.value = field.type === 'email' ? 'jamie@example.com' : words;
    field.dispatchEvent(new InputEvent('input', {bubbles: true}));
  }
  if (button) return document.querySelector(`${selector} ${button}`) ?? document.querySelector(button);
  return all.find((e) => e.type === 'submit') ?? form;
}

// told is what a request says, apart from where it came from.
function told({method, url, headers, body}) {
  const type = headers['content-type'];
  const boundary = type.match(/^multipart\/form-data; boundary=(.+)$/)?.[1];
  return {method, url, type: type.replace(boundary, 'boundary'), text: body.toString('latin1').replaceAll(boundary ?? /$^/g, 'boundary')};
}

// without takes the token away, which must come before all that stands in the form.
function without(request, outside = '') {
  const token = request.type === 'text/plain' ? /altcha=[\w+/=]{100,}\r\n/
    : /^multipart/.test(request.type) ? /--boundary\r\nContent-Disposition: form-data; name="altcha"\r\n\r\n[\w+/=]{100,}\r\n/
      : /altcha=[\w%]{100,}(&|$)/;
  const at = request.text.search(token);
  assert.equal(request.text.slice(0, at), outside, 'what comes before the token');
  const text = request.text.replace(token, '');
  assert.doesNotMatch(text, /altcha/, 'a second token');
  return {...request, text};
}

const origins = (text) => text.replaceAll('plain.test', 'site.test');

for (const [name, {forms = [], later = [], buttons = {}, outside = {}}] of Object.entries(pages)) {
  if (forms.length + later.length) {
    test(`${name}: its forms arrive complete`, async () => {
      for (const form of [...forms, ...later]) {
        const before = await send('plain.test', name, form, buttons[form]);
        const {seen, faults} = await send('site.test', name, form, buttons[form]);
        const plain = told(before.seen);
        assert.deepEqual(without(told(seen), outside[form]), {...plain, text: origins(plain.text)}, form);
        assert.equal(seen.headers['x-captcha-status'], 'passed', form);
        assert.deepEqual(faults, before.faults.map(origins), `errors after ${form}`);
      }
    });
  }
}

for (const [name, {fetches = []}] of Object.entries(pages)) {
  for (const form of fetches) {
    test(`${name}: what its script sends arrives complete`, async () => {
      const posts = [];
      for (const host of ['plain.test', 'site.test']) {
        w.app.reset();
        page.faults.length = 0;
        await page.goto(w.https(host, '/corpus/' + name));
        await page.fill(`${form} [type=email]`, 'jamie@example.com');
        await page.click(`${form} button`);
        await page.locator(`${form}.success`).waitFor();
        const {method, url, headers, body} = await w.app.one();
        posts.push({method, url, type: headers['content-type'], body: body.toString()});
        assert.equal(headers['x-captcha-status'], host === 'site.test' ? 'passed' : undefined);
        assert.deepEqual(page.faults, []);
      }
      assert.deepEqual(posts[1], posts[0]);
    });
  }
}
