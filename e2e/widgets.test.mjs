// The real ALTCHA widgets, on the app's own page, fed with our challenges.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {received} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const widgets = {
  1: {file: 'altcha1/dist/altcha.js', attribute: 'challengejson'},
  2: {file: 'altcha2/dist/altcha.js', attribute: 'challengejson'},
  3: {file: 'altcha3/dist/main/altcha.js', attribute: 'challenge'},
};

const pages = {};
for (const [version, {file, attribute}] of Object.entries(widgets)) {
  const source = readFileSync(new URL('node_modules/' + file, import.meta.url));
  pages[`/altcha${version}.js`] = (seen, res) => res.writeHead(200, {'Content-Type': 'text/javascript'}).end(source);
  // the app's page and the post that it takes have one URL
  const page = html(`<form method="post"><input name="text" value="grüße"><span id="place"></span><button id="send">Send</button></form>
<script type="module">
import '/altcha${version}.js';
const {challenge} = await (await fetch(location, {method: 'POST', headers: {'Captcha-Request': 'challenge'}})).json();
const widget = document.createElement('altcha-widget');
widget.setAttribute('${attribute}', JSON.stringify(challenge));
widget.setAttribute('name', 'altcha');
widget.setAttribute('auto', location.search ? 'off' : 'onload');
document.body.dataset.state = 'there';
widget.addEventListener('statechange', (e) => { document.body.dataset.state = e.detail.state; });
document.getElementById('place').replaceWith(widget);
</script>`);
  pages[`/contact/${version}`] = (seen, res) => res.writeHead(200, {'Content-Type': 'text/html; charset=utf-8'})
    .end(seen.method === 'GET' ? page : '<!doctype html><title>received</title><p id="received">received</p>');
}

const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /contact/* {
		provider pow {
			difficulty 3000
		}
	}
	reverse_proxy {app}
}`, {pages});

for (const version of Object.keys(widgets)) {
  test(`ALTCHA widget ${version} passes in one go`, async (t) => {
    w.app.reset();
    const page = await w.visitor(t);
    const answers = [];
    page.on('response', (r) => { if (r.request().isNavigationRequest()) answers.push(`${r.request().method()} ${r.status()}`); });
    await page.goto(w.https('site.test', `/contact/${version}`));
    await page.waitForFunction(() => document.body.dataset.state === 'verified');
    await page.click('#send');
    await received(page);
    const seen = await w.app.one();
    assert.deepEqual(answers, ['GET 200', 'POST 200']); // no challenge page between
    assert.equal(seen.headers['x-captcha-status'], 'passed');
    assert.equal(seen.headers['x-captcha-provider'], 'pow');
    const fields = new URLSearchParams(seen.body.toString());
    assert.equal(fields.get('text'), 'grüße');
    const payload = JSON.parse(Buffer.from(fields.get('altcha'), 'base64'));
    t.diagnostic(`payload: ${Object.keys(payload)}, took ${payload.took}`);
    assert.equal(payload.algorithm, 'SHA-256');
    assert.deepEqual(page.faults, []);
  });
}

test('a form whose widget was not solved is carried through the challenge page', async (t) => {
  w.app.reset();
  const page = await w.visitor(t);
  await page.goto(w.https('site.test', '/contact/2?unsolved'));
  await page.waitForFunction(() => document.body.dataset.state);
  await page.evaluate(() => document.forms[0].submit()); // past the widget's own check
  await received(page);
  assert.equal((await w.app.one()).body.toString(), 'text=gr%C3%BC%C3%9Fe');
});

test('a widget whose token was spent: the edge asks again, and carries the form', async (t) => {
  w.app.reset();
  const page = await w.visitor(t);
  await page.goto(w.https('site.test', '/contact/1'));
  await page.waitForFunction(() => document.body.dataset.state === 'verified');
  // spend its token elsewhere
  const token = await page.evaluate(() => new FormData(document.forms[0]).get('altcha'));
  const spent = await page.evaluate(async (token) => (await fetch(location, {method: 'POST', headers: {'Captcha-Token': token}})).status, token);
  assert.equal(spent, 200);
  w.app.reset();
  const answered = page.waitForResponse((r) => r.request().isNavigationRequest());
  await page.click('#send', {noWaitAfter: true});
  assert.equal((await answered).status(), 403);
  await received(page);
  const seen = await w.app.one();
  assert.equal(seen.headers['x-captcha-status'], 'passed');
  assert.equal(new URLSearchParams(seen.body.toString()).get('altcha'), token);
});
