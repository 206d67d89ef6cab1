// captcha_inject: pages with a mind of their own. Their handlers run as without us, and what fails ends at the challenge page.
import assert from 'node:assert/strict';
import {hold, received, release} from './lib/browser.mjs';
import {arrives, injected, plain, pow, ready, rest, visit} from './lib/inject.mjs';
import {until} from './lib/providers.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const sites = injected(['site.test', 'other.test'], {options: 'max_buffer 4KiB'}) + injected('short.test', {provider: pow(1000, 'expires 2s')});
const w = await world(sites, {browser: {bfcache: true}});

const at = (t, body, options) => visit(w, t, body, options);

// Pages that send by themselves: none of these forms is sent by us.
const preventing = {
  'a listener': 'f.addEventListener("submit", (e) => { e.preventDefault(); ran++; })',
  'a handler': 'f.onsubmit = () => { ran++; return false; }',
  'one that ends the event': 'f.onsubmit = (e) => { ran++; e.stopPropagation(); return false; }',
  'one for all forms': 'document.addEventListener("submit", (e) => { ran++; e.preventDefault(); })',
  'one on the window': 'window.addEventListener("submit", (e) => { ran++; e.preventDefault(); })',
  'one that comes early': 'window.addEventListener("submit", (e) => { ran++; e.preventDefault(); e.stopImmediatePropagation(); }, true)',
  'one that is set late': 'window.addEventListener("submit", () => window.addEventListener("submit", (e) => { ran++; e.preventDefault(); }, {once: true}), true)',
};
for (const [name, script] of Object.entries(preventing)) {
  test(`a page that sends by itself: ${name}`, async (t) => {
    const page = await at(t, `${plain}<script>window.ran = 0; const f = document.forms[0]; ${script}</script>`, {init: [hold]});
    await page.click('button');
    await page.evaluate(() => new Promise((r) => setTimeout(r)));
    await release(page);
    await ready(page); // the token of the contact
    await page.click('button');
    await page.waitForFunction(() => ran === 2);
    const data = await page.evaluate(() => [...new FormData(document.forms[0]).keys()]);
    assert.deepEqual(data, ['altcha', 'text']);
    assert.deepEqual(w.app.posts, []);
    assert.deepEqual(page.faults, []);
  });
}

// Pages that look on: their handlers run once.
const watching = {
  'a listener': 'f.addEventListener("submit", () => ran++)',
  'one that ends the event': 'f.addEventListener("submit", (e) => { ran++; e.stopPropagation(); })',
  'one on the window, of jQuery\'s kind': 'window.addEventListener("submit", (e) => { ran++; e.stopPropagation(); })',
};
for (const [name, script] of Object.entries(watching)) {
  test(`a page that looks on: ${name}`, async (t) => {
    const page = await at(t, `${plain}<script>window.ran = 0; const f = document.forms[0]; ${script}</script>`, {init: [hold]});
    await page.click('button', {noWaitAfter: true});
    await page.waitForFunction(() => document.querySelector('[role=status]')?.textContent);
    assert.equal(await page.evaluate(() => ran), 1);
    await page.evaluate(() => addEventListener('pagehide', () => { document.cookie = 'ran=' + ran; }));
    await release(page);
    assert.equal(rest(await arrives(w, page)), 'text=hello');
    assert.equal((await page.context().cookies()).find((c) => c.name === 'ran').value, '1');
  });
}

test('several forms: each its own token', async (t) => {
  const page = await at(t, `${plain}<form method="post" action="/send2" target="frame"><input name="b" value="2"><button id="second">Send</button></form><iframe name="frame"></iframe>`);
  await page.click('[name=b]');
  await page.waitForFunction(() => document.forms[1].altcha.value);
  assert.equal(await page.evaluate(() => document.forms[0].altcha.value), '');
  await page.click('#second');
  await page.frameLocator('iframe').locator('#received').waitFor();
  await page.waitForFunction(() => document.forms[1].altcha.disabled); // spent
  assert.equal(await page.evaluate(() => document.forms[1].querySelector('[role=status]')?.textContent ?? ''), '');
  await page.click('[name=text]');
  await ready(page);
  await page.click('#second');
  await w.app.arrivals(2);
  await page.click('button >> nth=0');
  const posts = await w.app.arrivals(3);
  await received(page);
  assert.deepEqual(posts.map((p) => [p.url, p.headers['x-captcha-status']]), [['/send2', 'passed'], ['/send2', 'passed'], ['/send', 'passed']]);
  assert.equal(page.challenged, 0);
  assert.equal(page.asked.length, 3);
});

test('an expired token is replaced before it is sent', async (t) => {
  const page = await at(t, plain, {host: 'short.test'});
  await page.click('[name=text]');
  await ready(page);
  await page.waitForFunction(() => document.querySelector('[name=altcha]').disabled); // it has become too old
  await page.click('button');
  assert.equal(rest(await arrives(w, page)), 'text=hello');
  assert.equal(page.asked.length, 2);
});

test('back and forward: a page from the browser\'s memory makes a new token', async (t) => {
  const page = await at(t, plain + '<script>addEventListener("pageshow", (e) => { window.shown = e.persisted; })</script>');
  await page.click('[name=text]');
  await ready(page);
  await page.click('button');
  await received(page);
  await page.evaluate(() => history.back());
  await page.waitForFunction(() => window.shown);
  assert.deepEqual(await page.evaluate(() => [document.querySelector('[name=altcha]').disabled, document.querySelector('[role=status]')?.textContent]), [true, '']);
  await page.click('button');
  await received(page);
  const posts = await w.app.arrivals(2);
  assert.deepEqual(posts.map((p) => p.headers['x-captcha-status']), ['passed', 'passed']);
  assert.equal(page.challenged, 0);
});

test('back and forward: a token that was ready, and has been spent meanwhile, is not sent', async (t) => {
  const page = await at(t, plain + '<a href="/away">away</a><script>addEventListener("pageshow", (e) => { window.shown = e.persisted; })</script>');
  w.app.pages['/away'] = html('<p id="away">away</p>');
  await page.click('[name=text]');
  await ready(page);
  const spent = await page.inputValue('[name=altcha]');
  await page.click('a');
  await page.locator('#away').waitFor();
  assert.equal(await page.evaluate(async (altcha) => (await fetch('/send', {method: 'POST', body: new URLSearchParams({altcha})})).status, spent), 200);
  await page.evaluate(() => history.back());
  await page.waitForFunction(() => window.shown);
  w.app.reset();
  await page.click('button');
  assert.equal(rest(await arrives(w, page)), 'text=hello');
  assert.equal(page.asked.length, 2);
});

test('back while a form is held: it is not sent', async (t) => {
  const page = await at(t, plain + '<a href="/away">away</a><script>addEventListener("pageshow", (e) => { window.shown = e.persisted; })</script>', {init: [hold]});
  w.app.pages['/away'] = html('<p id="away">away</p>');
  await page.click('button', {noWaitAfter: true});
  await page.waitForFunction(() => document.querySelector('[role=status]')?.textContent);
  await page.click('a');
  await page.locator('#away').waitFor();
  await page.evaluate(() => history.back());
  await page.waitForFunction(() => window.shown);
  await release(page);
  await page.click('button');
  assert.equal(rest(await arrives(w, page)), 'text=hello');
});

test('what fails ends at the challenge page, and nothing is lost', async (t) => {
  for (const how of ['abort', 'deny', 'garbage']) {
    const page = await at(t, plain);
    await page.route('**/send', (route) => {
      if (!route.request().headers()['captcha-request']) return route.continue();
      if (how === 'abort') return route.abort();
      return route.fulfill(how === 'deny' ? {status: 503, body: ''} : {status: 200, contentType: 'application/json', body: '{"provider":"toString","challenge":{}}'});
    });
    await page.click('button', {noWaitAfter: true});
    await received(page);
    assert.equal((await w.app.one()).body.toString(), 'text=hello', how);
    assert.equal(page.challenged, 1);
    assert.deepEqual(page.faults, []);
  }
});

test('where nothing protects, the form is sent as it is', async (t) => {
  const page = await at(t, plain.replace('/send', '/open'));
  await page.click('button');
  await received(page);
  assert.equal((await w.app.one()).body.toString(), 'text=hello');
  assert.equal(page.asked.length, 1);
});

test('a cleared visitor\'s form is sent as it is', async (t) => {
  const page = await at(t, plain.replace('/send', '/open'));
  await page.route('**/open', (route) => route.request().headers()['captcha-request'] ? route.fulfill({json: {provider: 'pow', fields: ['altcha'], cleared: true}}) : route.continue());
  await page.click('[name=text]');
  await until('it has asked', () => page.asked.length);
  await page.click('button');
  await received(page);
  assert.equal((await w.app.one()).body.toString(), 'text=hello');
  assert.equal(page.asked.length, 1);
});

test('forms that are not ours', async (t) => {
  const elsewhere = w.https('other.test', '/open');
  const page = await at(t, `
    <form id="get" action="/open"><input name="a"><button>Send</button></form>
    <form id="cross" method="post" action="${elsewhere}"><input name="a"><button>Send</button></form>
    <form id="own" method="post" action="/send"><input name="altcha"><button>Send</button></form>
    <dialog open><form id="dialog" method="dialog"><input name="a"><button>Close</button></form></dialog>
    <form id="button" method="post" action="/send"><input name="a"><button formaction="${elsewhere}">Send</button></form>`, {
    injected: (page) => inject(page).replaceAll(/(<form id="(?!button)[^>]*>)<input type="hidden"[^>]*>/g, '$1'),
  });
  for (const id of ['get', 'cross', 'own', 'dialog']) await page.click(`#${id} input:visible`);
  await page.click('#dialog button');
  await page.waitForFunction(() => !document.querySelector('dialog').open);
  assert.equal(page.asked.length, 0);

  await page.click('#button [name=a]');
  await ready(page);
  await page.click('#button button');
  await received(page);
  assert.equal((await w.app.one()).body.toString(), 'a=', 'our token went elsewhere');
  assert.equal(page.asked.length, 1);
});

test('a button that sends elsewhere', async (t) => {
  const page = await at(t, '<form method="post" action="/send"><input name="a" value="1"><button formaction="/send3">x</button></form>');
  await page.click('button');
  assert.equal((await arrives(w, page)).url, '/send3');
});

// Pages that change what scripts find in a browser.
const hostile = {
  'other methods of arrays': `for (const name of ['map', 'filter', 'find', 'some', 'every', 'forEach', 'reduce', 'includes', 'entries', 'flat', 'concat', 'push', 'slice', 'at', 'join', 'indexOf']) Array.prototype[name] = () => { throw new Error('not the browser\\'s ' + name); };
    Array.from = () => []; Object.prototype.extra = 1; Array.prototype.extra = () => {}; Array.prototype.toJSON = () => 'x'; String.prototype.toJSON = () => 'x'`,
  'frozen prototypes': 'for (const c of [Object, Array, Function, HTMLFormElement, HTMLInputElement, Element, Node, EventTarget, XMLHttpRequest]) Object.freeze(c.prototype); Object.freeze(window.XMLHttpRequest)',
  'its own names': 'for (const name of ["Request", "Headers", "FormData", "URL", "Promise", "Worker", "Blob", "AbortController", "MutationObserver", "DataTransfer", "WeakMap", "Event", "Element", "Form", "Hash", "$", "Node", "Map", "Set"]) window[name] = function () { throw new Error("not the browser\'s " + name); }; window.fetch = window.setTimeout = () => { throw new Error("not the browser\'s"); }',
  'its own submit': 'HTMLFormElement.prototype.submit = () => { throw new Error("not the browser\'s submit"); }; EventTarget.prototype.addEventListener = () => { throw new Error("not the browser\'s"); }',
};
for (const [name, script] of Object.entries(hostile)) {
  test(`a page with ${name}`, async (t) => {
    const page = await at(t, `<script>${script}</script>${plain}<script>document.querySelector('button').click()</script>`); // by itself: Playwright falls for them
    assert.equal(rest(await arrives(w, page)), 'text=hello');
  });
}

test('a page whose fetch cannot be replaced', async (t) => {
  const page = await at(t, plain, {init: [() => {
    Object.defineProperty(window, 'fetch', {value: window.fetch, writable: false, configurable: false});
    Object.freeze(XMLHttpRequest.prototype);
    Object.freeze(Element.prototype);
  }]});
  await page.click('[name=text]');
  await page.click('button');
  assert.equal(rest(await arrives(w, page)), 'text=hello');
});

test('a second copy of the script does nothing', async (t) => {
  const page = await at(t, plain + '<script>document.body.append(Object.assign(document.createElement("script"), {textContent: document.querySelector("script").textContent}))</script>');
  await page.click('[name=text]');
  await page.click('button');
  await arrives(w, page);
  assert.equal(page.asked.length, 1);
});

test('a form that is clicked at once does not move under the finger', async (t) => {
  const page = await at(t, plain);
  const box = await page.locator('button').boundingBox();
  await page.mouse.move(box.x + 5, box.y + 5);
  await page.mouse.down();
  await until('it has asked', () => page.asked.length);
  await (await page.asked[0].response()).finished();
  assert.equal(await page.evaluate(() => document.querySelectorAll('[role=status]').length), 0);
  await page.mouse.up();
  assert.equal(rest(await arrives(w, page)), 'text=hello');
});

test('a form named currentScript is not where our workers come from', async (t) => {
  const named = '<form name="currentScript"><textarea>onmessage = () => postMessage({from: 0, found: 1})</textarea></form>';
  w.app.pages['/named'] = `<!doctype html><title>Named</title>${named}${plain}`; // without a head, our script stands behind it
  const page = await w.visitor(t, {init: [() => {
    window.sources = [];
    window.Blob = class extends Blob {
      constructor(parts, options) {
        super(parts, options);
        window.sources.push(parts);
      }
    };
  }]});
  page.asked = [];
  await page.goto(w.https('site.test', '/named'));
  assert.equal(await page.evaluate(() => document.querySelector('form, script').name), 'currentScript');
  await page.click('[name=text]');
  await ready(page);
  const [ours, sources] = await page.evaluate(() => [document.querySelector('script[data-captcha-inject]').textContent, window.sources]);
  assert.deepEqual(sources, [[ours]]);
  assert.deepEqual(page.faults, []);
});
