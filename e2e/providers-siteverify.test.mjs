// Providers of the siteverify family on the challenge page: a stand-in for
// Turnstile's script, the real Cap widget and server, the real Friendly Captcha SDK.
import assert from 'node:assert/strict';
import Cap from '@cap.js/server';
import {button, kind, status} from './lib/browser.mjs';
import {befriend, friendly, start} from './lib/friendly.mjs';
import {arrives, form, npm, posted, send, site, startProviders, turnstile, turnstileWidget} from './lib/providers.mjs';
import {test, world} from './lib/world.mjs';

const siteKey = '0x4AAAAAAAtests', secret = 'the-secret-of-the-tests';

// A standalone Cap server: its API, its siteverify, and its widget.
const cap = new Cap({noFSState: true});
async function capServer(r) {
  if (r.path === '/assets/widget.js') return {headers: {'Content-Type': 'text/javascript'}, body: npm('@cap.js/widget/cap.min.js').toString()};
  const what = r.path.match(/^\/capkey\/(challenge|redeem|siteverify)$/)?.[1] ?? assert.fail('an unknown path');
  assert.equal(r.method, 'POST');
  if (what === 'challenge') return {json: await cap.createChallenge({challengeCount: 10, challengeDifficulty: 3})};
  const body = JSON.parse(r.body);
  if (what === 'redeem') return {json: await cap.redeemChallenge(body)};
  assert.deepEqual(Object.keys(body).sort(), ['response', 'secret']);
  if (body.secret !== secret) return {status: 403, json: {success: false, error: 'Invalid site key or secret'}};
  const {success} = await cap.validateToken(body.response);
  return success ? {json: {success}} : {status: 404, json: {success: false, error: 'Token not found'}};
}

const services = await startProviders({
  providers: {turnstile: turnstile({secret, hostname: 'turnstile.test'}).handle, blocked: turnstile({secret, hostname: 'blocked.test'}).handle, cap: capServer, friendly: friendly({secret, siteKey: 'FCMTESTS', hostname: 'friendly.test'})},
  files: {'/turnstile.js': turnstileWidget},
});

const withTurnstile = (name) => `provider turnstile {
			site_key ${siteKey}
			secret_key ${secret}
			verify_url ${services.origin}/${name}/siteverify
			script_url https://cdn.test:{https}/turnstile.js
		}`;
const w = await world(`
${site('turnstile.test', withTurnstile('turnstile'))}
${site('blocked.test', withTurnstile('blocked') + `
		fallback pow {
			difficulty 1000
		}
		failover {
			widget_blocked fallback
		}`)}
${site('cap.test', `provider cap {
			site_key capkey
			secret_key ${secret}
			verify_url ${services.origin}/cap/capkey/siteverify
			widget_url ${services.origin}/cap/capkey/
			script_url ${services.origin}/cap/assets/widget.js
		}`)}
${site('friendly.test', `provider friendlycaptcha {
			site_key FCMTESTS
			secret_key ${secret}
			verify_url ${services.origin}/friendly/api/v2/captcha/siteverify
		}`)}
https://cdn.test:{https} {
	tls internal
	reverse_proxy ${services.address}
}`, {pages: {'/form': form}});

async function visitor(t) {
  w.app.reset();
  services.reset();
  return w.visitor(t);
}

test('Turnstile: the form arrives as it was', async (t) => {
  const page = await visitor(t);
  await send(w, page, 'turnstile.test');
  await page.click('#tick');
  await arrives(w, page, 'turnstile.test', {provider: 'turnstile'});
  const [asked] = services.to('turnstile');
  assert.match(asked.body, /0\.[0-9a-f]{32}/);
  assert.equal(services.to('turnstile').length, 1);
  assert.deepEqual(services.faults, []);
  assert.deepEqual(page.faults, []);
});

test('Turnstile refuses the token: the edge asks again and keeps the form', async (t) => {
  const page = await visitor(t);
  await send(w, page, 'turnstile.test');
  await page.locator('#tick').waitFor();
  // the tampered widget gives a token that nobody knows
  await page.evaluate(() => { document.querySelector('[name=cf-turnstile-response]').value = 'invented'; });
  await page.locator('.problem', {hasText: 'The last check was not accepted.'}).waitFor();
  assert.deepEqual(w.app.posts, []);
  await page.click('#tick');
  await arrives(w, page, 'turnstile.test', {provider: 'turnstile'});
});

const blocked = '**/turnstile.js';

test('script blocked: the visitor is told, nothing is sent, and trying again works', async (t) => {
  const page = await visitor(t);
  await page.route(blocked, (route) => route.abort('blockedbyclient'));
  await send(w, page, 'turnstile.test');
  await status(page).filter({hasText: /could not be loaded from cdn\.test/}).waitFor();
  await status(page).filter({hasText: /ad blocker/}).waitFor();
  assert.equal(await button(page).innerText(), 'Try again');
  assert.deepEqual(w.app.posts, []);
  await page.unroute(blocked);
  await button(page).click();
  await page.click('#tick');
  await arrives(w, page, 'turnstile.test', {provider: 'turnstile'});
});

// sayBlocked does what a page does where there is another challenge.
const sayBlocked = (page) => page.evaluate(() => {
  const form = document.getElementById('captcha-form');
  form.prepend(Object.assign(document.createElement('input'), {type: 'hidden', name: 'captcha-blocked', value: '1'}));
  HTMLFormElement.prototype.submit.call(form);
});

test('D-49 script blocked, and widget_blocked is not configured: saying so opens no door', async (t) => {
  const page = await visitor(t);
  await page.route(blocked, (route) => route.abort('blockedbyclient'));
  await send(w, page, 'turnstile.test');
  await status(page).filter({hasText: /could not be loaded/}).waitFor();
  const answered = posted(page);
  await sayBlocked(page);
  assert.equal((await answered).status(), 403);
  await page.waitForLoadState();
  assert.equal(await kind(page), 'stop');
  assert.deepEqual(w.app.posts, []);
  assert.deepEqual(services.to('turnstile'), []);
});

test('script blocked, widget_blocked fallback: the page goes over to the proof of work', async (t) => {
  const page = await visitor(t);
  await page.route(blocked, (route) => route.abort('blockedbyclient'));
  await send(w, page, 'blocked.test');
  await status(page).filter({hasText: /A different check/}).waitFor();
  await arrives(w, page, 'blocked.test', {provider: 'pow'});
  assert.deepEqual(services.to('blocked', '/siteverify').filter((c) => /0\./.test(c.body)), []);
});

test('widget_blocked fallback with a script that loads: no different check is offered', async (t) => {
  const page = await visitor(t);
  await send(w, page, 'blocked.test');
  await page.locator('#tick').waitFor();
  assert.equal(await button(page).isVisible(), false);
  await page.click('#tick');
  await arrives(w, page, 'blocked.test', {provider: 'turnstile'});
});

test('Cap: the real widget, the real server', async (t) => {
  const page = await visitor(t);
  await send(w, page, 'cap.test');
  await page.locator('cap-widget').click();
  await arrives(w, page, 'cap.test', {provider: 'cap'});
  assert.deepEqual(services.faults, []);
  assert.equal(services.to('cap', '/siteverify').length, 1);
  // the policy keeps its WebAssembly out, so that it solves in JavaScript
  assert.deepEqual(page.faults.filter((fault) => !/cap_wasm_bg\.wasm/.test(fault)), []);
});

async function friendlyVisitor(t, frame) {
  const page = await visitor(t);
  await befriend(page, frame);
  return page;
}

test('Friendly Captcha: the real SDK with stand-ins for its frames', async (t) => {
  const page = await friendlyVisitor(t);
  await send(w, page, 'friendly.test');
  await start(page);
  await arrives(w, page, 'friendly.test', {provider: 'friendlycaptcha'});
  assert.deepEqual(services.faults, []);
  assert.deepEqual(page.faults, []);
});

test('Friendly Captcha: what its SDK fills in where it fails is no token', async (t) => {
  let asked = 0;
  const page = await friendlyVisitor(t, (route, serve) => ++asked > 2 ? serve(route) : route.abort('connectionrefused'));
  await send(w, page, 'friendly.test');
  await page.waitForFunction(() => /^\.ERROR\.UNREACHABLE~/.test(document.querySelector('[name=frc-captcha-response]')?.value));
  await start(page); // its second attempt reaches them
  await arrives(w, page, 'friendly.test', {provider: 'friendlycaptcha'});
  assert.equal(services.to('friendly').length, 1);
});
