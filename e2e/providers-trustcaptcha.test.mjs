// The real TrustCaptcha widget 3.x on the challenge page, and a gateway that
// checks its proofs of work.
import assert from 'node:assert/strict';
import {button, status} from './lib/browser.mjs';
import {arrives, form, navigate, npm, posted, send, site, startProviders, trustcaptcha, until} from './lib/providers.mjs';
import {test, world} from './lib/world.mjs';

const siteKey = '11111111-2222-4333-8444-555555555555', apiKey = 'tc-key-of-the-tests';
const gateways = {
  plain: trustcaptcha({siteKey, apiKey, rounds: 0}),
  work: trustcaptcha({siteKey, apiKey, rounds: 2, difficulty: 10}),
  reported: trustcaptcha({siteKey, apiKey}),
  outage: trustcaptcha({siteKey, apiKey}),
};
const services = await startProviders({
  providers: Object.fromEntries(Object.entries(gateways).map(([name, g]) => [name, g.handle])),
  files: {'/trustcaptcha.js': npm('@trustcomponent/trustcaptcha-frontend/dist/bundles/trustcaptcha.esm.min.js')},
});

const block = (name, more = '') => `provider trustcaptcha {
			site_key ${siteKey}
			api_key ${apiKey}
			api_url ${services.origin}/${name}
			script_url https://cdn.test:{https}/trustcaptcha.js
			${more}
		}
		fallback pow {
			difficulty 1000
		}`;

const w = await world(`
${site('plain.test', block('plain'))}
${site('work.test', block('work'))}
${site('reported.test', block('reported', 'client_failover'))}
${site('outage.test', block('outage', 'client_failover') + `
		bypass_check passive {
			fails 1
			passes 1
		}`)}
https://cdn.test:{https} {
	tls internal
	reverse_proxy ${services.address}
}`, {pages: {'/form': form}});

// solve starts the widget, as a visitor does.
const solve = (page) => page.locator('trustcaptcha-component').click();

async function visit(t, host, prepare) {
  w.app.reset();
  services.reset();
  const page = await w.visitor(t);
  await prepare?.(page);
  await send(w, page, host);
  return page;
}

for (const name of ['plain', 'work']) {
  test(`TrustCaptcha, ${name}: the form arrives as it was`, async (t) => {
    const page = await visit(t, `${name}.test`);
    await solve(page);
    await arrives(w, page, `${name}.test`, {provider: 'trustcaptcha'});
    assert.deepEqual(services.faults, []);
    assert.equal(gateways[name].solved, name === 'work' ? 8 : 0);
    assert.equal(services.to(name, '/results').length, 1);
    assert.deepEqual(page.faults, []);
  });
}

// unreachable makes the gateway unreachable from the browser alone.
const unreachable = (page) => page.route('**/v2/verifications', (route) => route.abort('connectionrefused'));

test('TrustCaptcha unreachable from the browser, without client_failover: the visitor is told, and can try again', async (t) => {
  const page = await visit(t, 'plain.test', unreachable);
  await solve(page);
  await status(page).filter({hasText: /could not be loaded/}).waitFor();
  assert.equal(await button(page).innerText(), 'Try again');
  assert.deepEqual(services.to('plain', '/results'), []);
  await page.unroute('**/v2/verifications');
  await Promise.all([posted(page), button(page).click()]);
  await solve(page);
  await arrives(w, page, 'plain.test', {provider: 'trustcaptcha'});
});

test('D-40 TrustCaptcha: a client-failover token while the gateway is up is no pass, and keeps the form', async (t) => {
  gateways.reported.failover = 412;
  const page = await visit(t, 'reported.test', unreachable);
  const answered = posted(page);
  await solve(page);
  assert.equal((await answered).status(), 403);
  await page.locator('.problem', {hasText: 'could not reach'}).waitFor();
  const [asked] = services.to('reported', '/results');
  assert.equal(asked.query.get('clientFailover'), 'true');
  assert.deepEqual(w.app.posts, []);

  // the gateway can be reached now
  await page.unroute('**/v2/verifications');
  await solve(page);
  await arrives(w, page, 'reported.test', {provider: 'trustcaptcha'});
  assert.deepEqual(services.faults, []);
});

test('TrustCaptcha: a client-failover token that the gateway knows of is let in as failover', async (t) => {
  gateways.reported.failover = {gatewayFailoverActive: true, decisionType: 'FAILOVER'};
  const page = await visit(t, 'reported.test', unreachable);
  await solve(page);
  const seen = await arrives(w, page, 'reported.test', {status: 'failover'});
  t.diagnostic(`provider ${seen.headers['x-captcha-provider']}, reason ${seen.headers['x-captcha-reason']}`);
  assert.equal(services.to('reported', '/results')[0].query.get('clientFailover'), 'true');
  assert.deepEqual(services.faults, []);
});

test('TrustCaptcha down: the page goes over to the proof of work, and back after it', async (t) => {
  const page = await visit(t, 'outage.test');
  await page.locator('trustcaptcha-component').waitFor();
  gateways.outage.down = true;
  t.after(() => { gateways.outage.down = false; });
  await solve(page); // makes a client-failover token
  await arrives(w, page, 'outage.test', {provider: 'pow'});

  // while it lasts, the next visitor gets no widget at all
  const during = await navigate(w, 'outage.test');
  assert.equal(during.status, 403);
  assert.ok(!during.text.includes('trustcaptcha-component'));

  gateways.outage.down = false;
  await until('TrustCaptcha\'s page is back', async () => (await navigate(w, 'outage.test')).text.includes('<trustcaptcha-component'));
  const again = await visit(t, 'outage.test');
  await solve(again);
  await arrives(w, again, 'outage.test', {provider: 'trustcaptcha'});
  assert.deepEqual(services.faults, []);
});
