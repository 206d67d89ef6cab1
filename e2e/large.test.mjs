// Forms that are too large to be carried.
import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {button, card, kind, ready, received, status} from './lib/browser.mjs';
import {temporary} from './lib/caddy.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const site = `
	captcha /send* {
		provider pow {
			difficulty 1000
		}
		max_replay 16KiB
	}
	captcha /default* {
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}
}`;
const form = (action) => html(`<form method="post" action="${action}" enctype="multipart/form-data">
<input name="text"><textarea name="area"></textarea><input type="file" name="file"><button>Send</button></form>`);
const pages = {'/form': form('/send?x=1'), '/default-form': form('/default')};
const sites = `
https://site.test:{https} {
	tls internal
	${site}
http://site.test:{http} {
	${site}`;
const w = await world(sites, {pages});
const dir = temporary();

async function fill(page, size) {
  const name = join(dir, `${size}.bin`);
  writeFileSync(name, Buffer.alloc(size, 'x'));
  await page.fill('[name=text]', 'short');
  await page.fill('[name=area]', 'line\n'.repeat(1000));
  await page.setInputFiles('[name=file]', name);
}

async function submitAgain(page, size) {
  await ready(page);
  assert.equal(await button(page).innerText(), 'Back to the form');
  assert.match(await status(page).innerText(), /within two minutes/);
  assert.deepEqual(w.app.posts, []);
  await button(page).click();
  await page.waitForFunction(() => document.querySelector('[name=text]')?.value === 'short');
  assert.equal(await page.inputValue('[name=area]'), 'line\n'.repeat(1000));
  assert.equal(await page.evaluate(() => document.querySelector('[name=file]').files[0]?.size), size);
  await page.click('button');
  await received(page);
  const seen = await w.app.one();
  assert.equal(seen.headers['x-captcha-status'], 'cleared');
  assert.ok(seen.body.length > size);
}

for (const scheme of ['https', 'http']) {
  test(`${scheme}: beyond max_replay: said plainly, back, and sent again`, async (t) => {
    w.app.reset();
    const page = await w.visitor(t);
    await page.goto(w[scheme]('site.test', '/form'));
    await fill(page, 50_000);
    const [answer] = await Promise.all([page.waitForResponse((r) => r.request().method() === 'POST'), page.click('button')]);
    assert.equal(answer.status(), 403);
    await card(page).waitFor();
    assert.equal(await kind(page), 'redeem');
    assert.match(await card(page).innerText(), /too large to be kept during the check/);
    await ready(page);
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie.name.replace(/[0-9a-f]{8}$/, ''), cookie.httpOnly, cookie.secure, cookie.sameSite],
      scheme === 'https' ? ['__Host-captcha-once-', true, true, 'Lax'] : ['captcha-once-', true, false, 'Lax']);
    await submitAgain(page, 50_000);
    assert.deepEqual(page.faults, []);

    // one use
    await page.goto(w[scheme]('site.test', '/form'));
    await fill(page, 50_001);
    await page.click('button');
    await card(page).waitFor();
    assert.equal(w.app.posts.length, 1);
  });
}

test('just as large as max_replay is carried', async (t) => {
  w.app.reset();
  const page = await w.visitor(t);
  await page.goto(w.https('site.test', '/form'));
  await page.fill('[name=area]', 'x');
  const [answer] = await Promise.all([page.waitForResponse((r) => r.request().method() === 'POST'), page.click('button')]);
  const overhead = Number(answer.request().headers()['content-length'] ?? 0);
  await received(page);
  const base = (await w.app.one()).body.length;
  assert.ok(overhead === 0 || overhead === base);
  for (const [length, want] of [[16384 - base + 1, 'submit'], [16384 - base + 2, 'redeem']]) {
    w.app.reset();
    await page.goto(w.https('site.test', '/form'));
    await page.fill('[name=area]', 'x'.repeat(length));
    const seen = page.waitForEvent('response', (r) => r.request().method() === 'POST');
    await page.click('button');
    assert.match(await (await seen).text().catch(() => `class="${want}"`), new RegExp(`class="${want}"`));
    if (want === 'redeem') {
      await ready(page);
      assert.equal(await kind(page), 'redeem');
    } else {
      await received(page);
      assert.equal((await w.app.one()).body.length, 16384);
    }
  }
});

for (const scheme of ['https', 'http']) {
  test(`${scheme}: 30 MB without a token over a slow link: a page with 413, no broken connection`, async (t) => {
    w.app.reset();
    const size = 30 << 20;
    const page = await w.visitor(t);
    await page.goto(w[scheme]('site.test', '/default-form'));
    await fill(page, size);
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Network.enable');
    const slow = {offline: false, latency: 40, downloadThroughput: 2e6, uploadThroughput: 4e6};
    await cdp.send('Network.emulateNetworkConditions', slow);
    const start = Date.now();
    const [answer] = await Promise.all([
      page.waitForResponse((r) => r.request().method() === 'POST', {timeout: 60_000}),
      page.click('button', {noWaitAfter: true}),
    ]);
    assert.equal(answer.status(), 413);
    assert.ok(Date.now() - start > 5000, `the link was not slow: ${Date.now() - start} ms`);
    await card(page).waitFor();
    assert.equal(await kind(page), 'redeem');
    await cdp.send('Network.emulateNetworkConditions', {...slow, uploadThroughput: -1, downloadThroughput: -1});
    await submitAgain(page, size);
  });
}
