// While a provider is down, and at both ends of it: nobody is punished.
import assert from 'node:assert/strict';
import nodeTest from 'node:test';
import {button, card, hold, kind, received, release, status} from './lib/browser.mjs';
import {arrives, carried, form, navigate, npm, posted, script, send, site, startProviders, trustcaptcha, turnstile, turnstileToken, turnstileWidget, until} from './lib/providers.mjs';
import {carriedBy, solve} from './lib/token.mjs';
import {test, world} from './lib/world.mjs';

const secret = 'the-secret-of-the-tests';
const service = turnstile({secret, hostname: 'shop.test'});
const polled = turnstile({secret, hostname: 'polled.test'});
const early = turnstile({secret, hostname: 'early.test'});
const open = turnstile({secret, hostname: 'open.test'});
const siteKey = '11111111-2222-4333-8444-555555555555';
const gateway = trustcaptcha({siteKey, apiKey: secret});
const services = await startProviders({
  providers: {turnstile: service.handle, polled: polled.handle, early: early.handle, open: open.handle, trustcaptcha: gateway.handle},
  files: {'/turnstile.js': turnstileWidget, '/trustcaptcha.js': npm('@trustcomponent/trustcaptcha-frontend/dist/bundles/trustcaptcha.esm.min.js')},
});
const block = (name) => `provider turnstile {
			site_key 0x4AAAAAAAtests
			secret_key ${secret}
			verify_url ${services.origin}/${name}/siteverify
			script_url https://cdn.test:{https}/turnstile.js
		}
		fallback pow {
			difficulty 1000
		}`;
const w = await world(`
${site('shop.test', block('turnstile') + `
		bypass_check passive {
			fails 1
			passes 1
		}`)}
${site('polled.test', block('polled') + `
		bypass_check poll 10s`)}
${site('early.test', block('early'))}
${site('open.test', block('open') + `
		max_replay 1KiB
		bypass_check passive {
			fails 1
			passes 1
		}
		failover {
			unreachable allow
		}`)}
${site('trustcaptcha.test', `provider trustcaptcha {
			site_key ${siteKey}
			api_key ${secret}
			api_url ${services.origin}/trustcaptcha
			script_url https://cdn.test:{https}/trustcaptcha.js
		}`)}
https://cdn.test:{https} {
	tls internal
	reverse_proxy ${services.address}
}`, {pages: {'/form': form}});

const asked = (token) => services.to('turnstile').filter((c) => c.body.includes(token)).length;
const problem = ({text}) => JSON.parse(text);

test('an outage, from before its start to after its end', async (t) => {
  t.after(() => { service.down = false; });
  // before: pages with Turnstile
  const first = await w.visitor(t);
  await send(w, first, 'shop.test');
  await first.locator('#tick').waitFor();

  // it begins: who solved before gets another check and keeps the form
  service.down = true;
  const token = turnstileToken();
  const answer = await script(w, 'shop.test', {'Captcha-Token': token});
  assert.equal(answer.status, 403);
  assert.equal(problem(answer).captcha.provider, 'pow');
  assert.equal(problem(answer).reason, 'provider-unreachable');
  assert.equal(answer.headers['captcha-required'], 'pow');
  w.app.reset();
  await first.click('#tick');
  await arrives(w, first, 'shop.test', {provider: 'pow'});

  // it lasts: who comes now never sees Turnstile
  const page = await navigate(w, 'shop.test');
  assert.equal(page.status, 403);
  assert.ok(!page.text.includes('cf-turnstile') && !page.text.includes('turnstile.js'));
  const {challenge: puzzle, seal} = carriedBy(page.text);
  const solved = await script(w, 'shop.test', {'Captcha-Token': solve(problem(await script(w, 'shop.test')).captcha.challenge)});
  assert.equal(solved.status, 200);
  assert.equal(w.app.posts.at(-1).headers['x-captcha-provider'], 'pow');
  const sleeper = await w.visitor(t, {init: [hold]});
  await send(w, sleeper, 'shop.test');
  const calls = services.to('turnstile').length;
  await script(w, 'shop.test', {'Captcha-Token': turnstileToken()});
  assert.equal(services.to('turnstile').length, calls, 'it is not called while it is down');

  // it ends: pages and problem documents are Turnstile's again
  service.down = false;
  await until('Turnstile is back', async () => problem(await script(w, 'shop.test')).captcha.provider === 'turnstile');
  assert.ok((await navigate(w, 'shop.test')).text.includes('cf-turnstile'));

  // who had a page of the outage finishes it, and the token that met it counts
  w.app.reset();
  await release(sleeper);
  await arrives(w, sleeper, 'shop.test', {provider: 'pow'});
  w.app.reset();
  const late = await navigate(w, 'shop.test', new URLSearchParams({altcha: solve(puzzle), 'captcha-seal': seal}).toString());
  assert.equal(late.status, 200);
  assert.equal((await w.app.one()).body.toString(), carried);
  const kept = await script(w, 'shop.test', {'Captcha-Token': token});
  assert.equal(kept.status, 200);
  assert.ok(asked(token) >= 1);
  // and once only
  assert.equal(problem(await script(w, 'shop.test', {'Captcha-Token': token})).reason, 'token-duplicate');
  assert.deepEqual(services.faults, []);
});

nodeTest('polled every 10 s: the first to meet the outage gets the fallback at once', {timeout: 90_000}, async (t) => {
  t.after(() => { polled.down = false; });
  polled.down = true;
  const answer = problem(await script(w, 'polled.test', {'Captcha-Token': turnstileToken()}));
  assert.equal(answer.reason, 'provider-unreachable');
  assert.equal(answer.captcha.provider, 'pow');
});

// persist is a visitor who tries again, three times.
async function persist(page, begin) {
  const arrived = () => page.locator('#received').waitFor({timeout: 2000}).then(() => true, () => false);
  for (let i = 0; i < 3; i++) {
    await begin?.();
    await page.locator('#captcha-button:visible, #received').first().waitFor({timeout: 5000});
    if (!await button(page).isVisible()) return;
    await button(page).click();
    if (await arrived()) return;
  }
}


nodeTest('Turnstile down, its script too, nobody polls: the form arrives', {timeout: 90_000}, async (t) => {
  t.after(() => { early.down = false; });
  early.down = true;
  w.app.reset();
  const page = await w.visitor(t);
  await page.route('**/turnstile.js', (route) => route.abort('connectionrefused'));
  await send(w, page, 'early.test');
  await persist(page);
  assert.equal(w.app.posts.length, 1);
});

nodeTest('Turnstile down, its script too, "unreachable allow": a form too large to be carried is sent again', {timeout: 90_000}, async (t) => {
  t.after(() => { open.down = false; });
  open.down = true;
  w.app.reset();
  const page = await w.visitor(t);
  await page.route('**/turnstile.js', (route) => route.abort('connectionrefused'));
  await page.goto(w.https('open.test', '/form'));
  const text = 'x'.repeat(2000);
  await page.fill('[name=text]', text);
  const [challenge] = await Promise.all([posted(page), page.click('button', {noWaitAfter: true})]);
  assert.equal(challenge.status(), 403);
  await status(page).filter({hasText: /could not be loaded/}).waitFor();
  assert.equal(await kind(page), 'redeem');
  const [answer] = await Promise.all([posted(page), button(page).click({noWaitAfter: true})]);
  assert.equal(answer.status(), 200);
  await card(page).filter({hasText: 'Now go back and send your form again within two minutes.'}).waitFor();
  assert.equal(await kind(page), 'stop');
  assert.deepEqual(w.app.posts, []);
  await page.goBack(); // to where the form was answered first: the browser sends it again
  await received(page);
  const seen = await w.app.one();
  assert.equal(new URLSearchParams(seen.body.toString()).get('text'), text);
  assert.equal(seen.headers['x-captcha-status'], 'cleared');
});

nodeTest('TrustCaptcha down, without client_failover, nobody polls: the form arrives', {timeout: 90_000}, async (t) => {
  t.after(() => { gateway.down = false; });
  gateway.down = true;
  w.app.reset();
  services.reset();
  const page = await w.visitor(t);
  await send(w, page, 'trustcaptcha.test');
  await persist(page, () => page.locator('trustcaptcha-component').click());
  t.diagnostic(`the edge asked ${services.to('trustcaptcha', '/results').length} times`);
  assert.equal(w.app.posts.length, 1);
});
