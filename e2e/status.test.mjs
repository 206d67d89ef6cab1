// The operator's status page in Chromium, in front of a real Caddy: a provider
// that is down, a drill that is begun and ended by hand, a Caddy that goes away.
// SCREENSHOTS names a directory for pictures.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {after, before} from 'node:test';
import axe from 'axe-core';
import {startBrowser} from './lib/browser.mjs';
import {binary, freePort, start, temporary} from './lib/caddy.mjs';
import {startProviders, turnstile} from './lib/providers.mjs';
import {test} from './lib/world.mjs';

const secret = 'the-secret-of-the-tests';
const services = await startProviders({providers: {turnstile: turnstile({secret}).handle}});
const provider = (name, url) => `provider ${name} {
			site_key 0x4AAAAAAAtests
			secret_key ${secret}
			verify_url ${url}
		}
		bypass_check poll 1s`;
const ports = {http: await freePort(), https: await freePort()};
const nobody = await freePort();
const sites = `
http://localhost:${ports.http} {
	captcha /login* {
		${provider('turnstile', `${services.origin}/turnstile/siteverify`)}
	}
	captcha /order* {
		${provider('hcaptcha', `http://127.0.0.1:${nobody}/`)}
		failover {
			unreachable allow for 1h then deny
		}
	}
	respond ok
}`;
const socket = `unix/${join(temporary(), 'admin.sock')}`;
const run = () => start(sites, {...ports, admin: socket});

let caddy;
let chromium;
let server;
let url;

before(async () => {
  caddy = await run();
  chromium = await startBrowser();
  server = spawn(await binary(), ['captcha', 'status', '--serve', '127.0.0.1:0', '--address', socket], {stdio: ['ignore', 'pipe', 'inherit']});
  [url] = await once(createInterface(server.stdout), 'line');
});
after(async () => {
  server?.kill('SIGINT');
  if (server) assert.deepEqual(await once(server, 'exit'), [0, null]);
  await chromium?.close();
  await caddy?.stop();
  await services.close?.();
});

const looks = {
  light: {viewport: {width: 1000, height: 900}},
  dark: {viewport: {width: 1000, height: 900}, colorScheme: 'dark'},
  phone: {viewport: {width: 320, height: 640}, isMobile: true, hasTouch: true},
  'dark phone': {viewport: {width: 320, height: 640}, isMobile: true, hasTouch: true, colorScheme: 'dark'},
};

// open shows the page when it knows that one provider is up and the other down.
async function open(t, options = {}) {
  const context = await chromium.newContext(options);
  t.after(() => context.close());
  const page = await context.newPage();
  page.faults = [];
  page.requested = [];
  page.on('pageerror', (error) => page.faults.push(error.message));
  page.on('console', (m) => { if (m.type() === 'error' && !/^Failed to load resource/.test(m.text())) page.faults.push(m.text()); });
  page.on('request', (r) => page.requested.push(r.url()));
  await page.goto(url);
  await card(page, 'hcaptcha').locator('.badge', {hasText: 'down'}).waitFor();
  await card(page, 'turnstile').locator('.badge', {hasText: 'up'}).waitFor();
  return page;
}
const card = (page, name) => page.locator('#providers > li', {has: page.locator('h3', {hasText: name})});
const summary = (page) => page.locator('#summary');

async function examine(page) {
  await page.evaluate(axe.source);
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const {violations, passes} = await page.evaluate((values) => window.axe.run(document, {runOnly: {type: 'tag', values}}), tags);
  assert.ok(passes.length > 10);
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`), []);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'scrolls sideways');
}

for (const [look, options] of Object.entries(looks)) {
  test(`looks: ${look}`, async (t) => {
    const page = await open(t, options);
    if (process.env.SCREENSHOTS) await page.screenshot({path: join(process.env.SCREENSHOTS, `status-${look}.png`), fullPage: true});
    await examine(page);
    await card(page, 'turnstile').getByRole('button').click();
    await page.locator('dialog[open]').waitFor();
    if (process.env.SCREENSHOTS) await page.screenshot({path: join(process.env.SCREENSHOTS, `status-dialog-${look}.png`)});
    await examine(page);
    assert.deepEqual(page.faults, []);
  });
}

test('says who is down, and what happens now', async (t) => {
  const page = await open(t);
  assert.equal(await summary(page).innerText(), '1 of 2 providers in trouble: hcaptcha.');
  assert.match(await page.title(), /^\(!\)/);
  const text = await card(page, 'hcaptcha').innerText();
  for (const want of [/Now: everybody is let in\./, /connection refused/, /Never reached since the start/, /bypass_check poll/]) assert.match(text, want);
  assert.match(await card(page, 'hcaptcha').getByRole('img').getAttribute('aria-label'), /^hcaptcha, the last 24 hours: 1 outage, \d+ s in all$/);
  assert.match(await page.locator('.policy', {hasText: 'hcaptcha → pow'}).locator('tr.now').innerText(), /everybody is let in until .*; then everybody is denied/);
  assert.equal(await page.locator('.policy', {hasText: 'turnstile → pow'}).locator('tr.now').count(), 0);
  assert.match(await page.locator('#outages').innerText(), /not over/);
  assert.deepEqual([...new Set(page.requested.filter((u) => !u.startsWith('data:')).map((u) => new URL(u).origin))], [new URL(url).origin]);
});

test('keyboard: a drill is begun and ended, and the focus stays', async (t) => {
  const page = await open(t);
  const list = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id);
  await page.keyboard.press('Tab');
  assert.equal(await list(), 'Drill hcaptcha …');
  await page.keyboard.press('Tab');
  assert.equal(await list(), 'Drill turnstile …');
  await page.keyboard.press('Enter');
  await page.locator('dialog[open]').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await list(), 'Drill turnstile …');

  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#dialog-title').innerText(), 'Let turnstile count as down?');
  while (await list() !== 'begin') await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await card(page, 'turnstile').locator('.badge', {hasText: 'drill'}).waitFor();
  assert.match(await card(page, 'turnstile').innerText(), /Now: falls back to pow\./);
  const challenge = () => fetch(`http://localhost:${ports.http}/login`, {method: 'POST'}).then((r) => r.json());
  assert.equal((await challenge()).captcha.provider, 'pow');
  await page.waitForFunction(() => document.activeElement.getAttribute('aria-label') === 'End the drill of turnstile');

  await page.keyboard.press('Enter');
  await card(page, 'turnstile').locator('.badge', {hasText: 'up'}).waitFor();
  assert.equal((await challenge()).captcha.provider, 'turnstile');
  assert.match(await page.locator('#outages tbody tr', {hasText: 'turnstile'}).innerText(), /drill/);
  assert.deepEqual(page.faults, []);
});

test('another site can neither read nor drill', async (t) => {
  const page = await open(t);
  await page.goto(`http://localhost:${ports.http}/`); // another origin, same site or not
  const tried = await page.evaluate(async (secretURL) => {
    const results = [];
    for (const [path, options] of [
      ['status', {}], ['drill', {method: 'POST', mode: 'no-cors', body: '{"provider":"turnstile","for":"10m"}'}],
      ['drill', {method: 'POST', headers: {'Drill-Token': 'x'}, body: '{"provider":"turnstile","for":"10m"}'}],
    ]) {
      results.push(await fetch(secretURL + path, options).then((r) => r.type === 'opaque' ? 'sent' : r.text(), () => 'failed'));
    }
    return results;
  }, url);
  assert.deepEqual(tried.filter((r) => r !== 'failed' && r !== 'sent'), []);
  await page.goto(url);
  await card(page, 'turnstile').locator('.badge', {hasText: 'up'}).waitFor();
});

test('Caddy goes away and comes back: the page says so', async (t) => {
  const page = await open(t);
  await caddy.stop();
  await page.getByRole('alert').filter({hasText: 'admin API does not answer'}).waitFor();
  assert.match(await page.locator('#away').innerText(), /This page is as of .*; no answer since /);
  assert.equal(await card(page, 'hcaptcha').count(), 1); // what was last known stays
  await examine(page);
  caddy = await run();
  await page.locator('#away').waitFor({state: 'hidden'});
  await card(page, 'hcaptcha').locator('.badge', {hasText: 'down'}).waitFor();
  assert.deepEqual(page.faults, []);
});
