// GeeTest v3 on the challenge page. Its loader is not on npm: a stand-in with its
// interface does what the real one was seen to do.
import assert from 'node:assert/strict';
import {arrives, form, geetest, geetestLoader, navigate, script, send, site, startProviders, until} from './lib/providers.mjs';
import {test, world} from './lib/world.mjs';

const id = 'c9c4facd1a6feeb80802222cbb74ca8e', key = 'e4e298788aa8c768397639deb9b249a9';
const service = geetest({id, key});
const services = await startProviders({providers: {geetest: service.handle}, files: {'/gt.js': geetestLoader}});
const w = await world(`
${site('geetest.test', `provider geetest {
			captcha_id ${id}
			captcha_key ${key}
			api_url ${services.origin}/geetest
			bypass_url ${services.origin}/geetest/v1/bypass_status.php
			script_url https://cdn.test:{https}/gt.js
		}
		fallback pow {
			difficulty 1000
		}
		bypass_check poll 1s {
			fails 1
			passes 1
		}`)}
https://cdn.test:{https} {
	tls internal
	reverse_proxy ${services.address}
}`, {pages: {'/form': form}});

// validated are the tokens that the edge asked about; its probe's is known.
const validated = () => services.to('geetest', '/validate.php').filter((c) => !/challenge=0{32}&/.test(c.body));

async function visit(t) {
  w.app.reset();
  services.reset();
  const page = await w.visitor(t);
  await send(w, page, 'geetest.test');
  return page;
}

test('GeeTest: register, the widget, validate; the form arrives as it was', async (t) => {
  const page = await visit(t);
  await page.click('.geetest_radar_tip');
  await arrives(w, page, 'geetest.test', {provider: 'geetest'});
  assert.equal(validated().length, 1);
  assert.deepEqual(services.faults, []);
  assert.deepEqual(page.faults, []);
});

test('GeeTest: an offline answer while it is up is no pass, and keeps the form', async (t) => {
  w.app.reset();
  services.reset();
  const page = await w.visitor(t);
  await page.route('**/gettype.php*', (route) => route.abort('connectionrefused'));
  await send(w, page, 'geetest.test');
  await page.locator('.geetest_radar_tip').waitFor();
  await page.unroute('**/gettype.php*');
  await page.click('.geetest_radar_tip');
  await page.locator('.problem', {hasText: 'could not reach'}).waitFor();
  assert.deepEqual(validated(), []);
  assert.deepEqual(w.app.posts, []);
  await page.click('.geetest_radar_tip');
  await arrives(w, page, 'geetest.test', {provider: 'geetest'});
});

test('GeeTest in bypass mode: pages and problem documents have the proof of work; after it GeeTest again', async (t) => {
  const before = await visit(t); // has GeeTest's page, and solves it in the middle of the outage
  await before.locator('.geetest_radar_tip').waitFor();

  service.status = 'fail';
  t.after(() => { service.status = 'success'; });
  await until('the problem document names the fallback', async () => {
    const answer = await script(w, 'geetest.test');
    return JSON.parse(answer.text).captcha.provider === 'pow';
  });
  const problem = await script(w, 'geetest.test');
  assert.equal(problem.status, 403);
  assert.equal(problem.headers['captcha-required'], 'pow');
  assert.deepEqual(JSON.parse(problem.text).captcha.fields, ['altcha']);

  w.app.reset();
  const during = await w.visitor(t);
  await send(w, during, 'geetest.test');
  await arrives(w, during, 'geetest.test', {provider: 'pow'});

  w.app.reset();
  services.reset();
  await before.click('.geetest_radar_tip');
  await arrives(w, before, 'geetest.test', {provider: 'pow'});
  assert.deepEqual(validated(), []); // it is not called

  service.status = 'success';
  await until('GeeTest\'s page is back', async () => (await navigate(w, 'geetest.test')).text.includes('captcha-geetest'));
  const again = await visit(t);
  await again.click('.geetest_radar_tip');
  await arrives(w, again, 'geetest.test', {provider: 'geetest'});
  assert.deepEqual(services.faults, []);
});
