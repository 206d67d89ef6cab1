// captcha_inject: widgets of providers in the app's own forms, and in a dialog for its scripts.
import assert from 'node:assert/strict';
import Cap from '@cap.js/server';
import {createChallenge as createV1} from 'altcha-lib/v1';
import {received} from './lib/browser.mjs';
import {befriend, friendly, start} from './lib/friendly.mjs';
import {arrives, injected, plain, pow, ready, rest, visit} from './lib/inject.mjs';
import {geetest, geetestLoader, npm, procaptchaBundle, prosopo, startProviders, trustcaptcha, turnstile, turnstileWidget, until} from './lib/providers.mjs';
import {test, world} from './lib/world.mjs';

const secret = 'a-secret-of-the-tests-that-is-long-enough';
const id = 'c9c4facd1a6feeb80802222cbb74ca8e', siteKey = '11111111-2222-4333-8444-555555555555';
const stands = {
  turnstile: turnstile({secret, hostname: 'turnstile.test'}),
  geetest: geetest({id, key: secret}),
  trustcaptcha: trustcaptcha({siteKey, apiKey: secret, rounds: 1, difficulty: 8}),
  outage: turnstile({secret, hostname: 'outage.test'}),
};
const cap = new Cap({noFSState: true});
const services = await startProviders({
  providers: {
    ...Object.fromEntries(Object.entries(stands).map(([name, s]) => [name, s.handle])),
    prosopo: prosopo({secret}),
    friendly: friendly({secret, siteKey: 'FCMTESTS', hostname: 'friendlycaptcha.test'}),
    altcha: async () => ({json: await createV1({hmacKey: secret, maxNumber: 3000, expires: new Date(Date.now() + 3e5)})}),
    async cap(r) {
      if (r.path === '/capkey/challenge') return {json: await cap.createChallenge({challengeCount: 10, challengeDifficulty: 3})};
      if (r.path === '/capkey/redeem') return {json: await cap.redeemChallenge(JSON.parse(r.body))};
      const {success} = await cap.validateToken(JSON.parse(r.body).response);
      return {json: {success}};
    },
  },
  files: {
    '/turnstile.js': turnstileWidget, '/procaptcha.bundle.js': procaptchaBundle, '/gt.js': geetestLoader, '/altcha.js': npm('altcha3/dist/main/altcha.js'), '/cap.js': npm('@cap.js/widget/cap.min.js'),
    '/trustcaptcha.js': npm('@trustcomponent/trustcaptcha-frontend/dist/bundles/trustcaptcha.esm.min.js'),
  },
});

// solve does a visitor's part in a widget.
const providers = {
  turnstile: {
    block: `site_key 0x4AAAAAAAtests
			secret_key ${secret}
			verify_url ${services.origin}/turnstile/siteverify
			script_url https://cdn.test:{https}/turnstile.js`,
    solve: (page) => page.click('#tick'),
    fields: ['cf-turnstile-response'],
  },
  geetest: {
    block: `captcha_id ${id}
			captcha_key ${secret}
			api_url ${services.origin}/geetest
			bypass_url ${services.origin}/geetest/v1/bypass_status.php
			script_url https://cdn.test:{https}/gt.js`,
    solve: (page) => page.click('.geetest_radar_tip'),
    fields: ['geetest_challenge', 'geetest_validate', 'geetest_seccode'],
  },
  trustcaptcha: {
    block: `site_key ${siteKey}
			api_key ${secret}
			api_url ${services.origin}/trustcaptcha
			script_url https://cdn.test:{https}/trustcaptcha.js`,
    solve: (page) => page.locator('trustcaptcha-component [role=checkbox]').click(),
    fields: ['tc-verification-token'],
  },
  altcha: {
    block: `hmac_key ${secret}
			challenge_url ${services.origin}/altcha/v1
			script_url https://cdn.test:{https}/altcha.js`,
    solve() {}, // it starts by itself
    fields: ['altcha'],
  },
  cap: {
    block: `site_key capkey
			secret_key ${secret}
			verify_url ${services.origin}/cap/capkey/siteverify
			widget_url ${services.origin}/cap/capkey/
			script_url https://cdn.test:{https}/cap.js`,
    solve: (page) => page.locator('cap-widget').click(),
    fields: ['cap-token'],
  },
  friendlycaptcha: {
    block: `site_key FCMTESTS
			secret_key ${secret}
			verify_url ${services.origin}/friendly/api/v2/captcha/siteverify`,
    prepare: befriend,
    solve: start,
    fields: ['frc-captcha-response'],
  },
  prosopo: {
    block: `site_key 5Tests
			secret_key ${secret}
			verify_url ${services.origin}/prosopo/siteverify
			script_url https://cdn.test:{https}/procaptcha.bundle.js`,
    solve: (page) => page.click('.procaptcha input'),
    fields: ['procaptcha-response'],
  },
};

const site = (host, name, block, more = '') => injected(host, {
  provider: `${name} {
			${block}
		}`,
  options: `fallback ${pow(1000)}
		${more}`,
});
const w = await world(`
${Object.entries(providers).map(([name, {block}]) => site(`${name}.test`, name, block)).join('')}
${site('outage.test', 'turnstile', providers.turnstile.block.replace('/turnstile/', '/outage/'), `bypass_check passive {
			fails 1
			passes 1
		}`)}
https://cdn.test:{https} {
	tls internal
	reverse_proxy ${services.address}
}`);

// The strictest policy under which a page can run scripts: what widgets need is added.
const headers = {'Content-Security-Policy': "default-src 'none'; script-src 'nonce-abc'"};

async function at(t, name, body = plain, options) {
  services.reset();
  const page = await visit(w, t, body, {host: `${name}.test`, headers, ...options});
  await providers[name]?.prepare?.(page); // before the first contact nothing is loaded
  page.harmless = name === 'cap' ? /cap_wasm_bg\.wasm|'data:image/ : undefined; // its widget does without them
  t.after(() => assert.deepEqual(services.faults, []));
  return page;
}

for (const [name, {solve, fields: [field]}] of Object.entries(providers)) {
  test(`${name}: solved while the visitor fills in the form`, async (t) => {
    const page = await at(t, name);
    assert.equal(await page.locator('script[src]').count(), 0); // nothing is loaded before
    await page.click('[name=text]');
    await page.locator('form form').waitFor();
    await solve(page);
    await ready(page, field);
    assert.deepEqual(await page.evaluate(() => [...document.forms[0].elements].map((e) => e.name).filter(Boolean)), [...providers[name].fields, 'text']);
    await page.click('form > button');
    const seen = await arrives(w, page, {field, provider: name});
    assert.deepEqual([...new URLSearchParams(seen.body.toString()).keys()], [...providers[name].fields, 'text']);
  });

  test(`${name}: solved after the visitor wants to send`, async (t) => {
    const page = await at(t, name);
    await page.click('button', {noWaitAfter: true});
    await page.locator('form form').waitFor();
    await solve(page);
    await arrives(w, page, {field, provider: name});
  });

  test(`${name}: in a dialog for a script, twice`, async (t) => {
    const page = await at(t, name);
    for (let i = 1; i <= 2; i++) {
      const sent = page.evaluate(() => fetch('/send', {method: 'POST', body: 'a=1'}).then((r) => r.status));
      await page.locator('dialog form').waitFor();
      await solve(page);
      assert.equal(await sent, 200);
      assert.equal(await page.locator('dialog').count(), 0);
    }
    for (const seen of await w.app.arrivals(2)) assert.deepEqual([seen.headers['x-captcha-provider'], seen.body.toString()], [name, 'a=1']);
    assert.deepEqual(page.faults.filter((fault) => !page.harmless?.test(fault)), []);
  });
}

test('two forms: each its own widget, one at a time', async (t) => {
  const page = await at(t, 'turnstile', plain + plain.replace('/send', '/send2').replace('name="text"', 'name="b"'));
  await page.click('[name=text]');
  await page.locator('form form #tick').waitFor();
  await page.click('[name=b]');
  await page.locator('form[action="/send2"] #tick').click();
  await page.waitForFunction(() => document.querySelectorAll('form form').length === 1 && document.forms[1].querySelector('[name=cf-turnstile-response]').value);
  await page.click('form[action="/send2"] > button');
  assert.equal((await arrives(w, page, {field: 'cf-turnstile-response', provider: 'turnstile'})).url, '/send2');
});

for (const mode of ['open', 'closed']) {
  test(`forms in ${mode} shadow roots, one within another: the widget is seen there, and found by its script`, async (t) => {
    const field = 'cf-turnstile-response';
    const page = await at(t, 'turnstile', `<div id="host"></div><script nonce="abc">
      const outer = document.getElementById('host').attachShadow({mode: '${mode}'});
      outer.innerHTML = '<p>Outer</p><div></div>';
      window.root = outer.querySelector('div').attachShadow({mode: '${mode}'});
      root.innerHTML = '${plain}';
      </script>`);
    const solved = async () => {
      await page.click('#tick');
      await page.waitForFunction((field) => root.querySelector(`[name=${field}]:enabled`)?.value, field);
    };
    for (let i = 0; i < 2; i++) {
      await page.evaluate(() => root.querySelector('[name=text]').focus());
      await page.locator('#tick').waitFor();
      const [tick, send] = [await page.locator('#tick').boundingBox(), await page.evaluate(() => root.querySelector('form > button').getBoundingClientRect().toJSON())];
      assert.ok(tick.height > 0 && tick.y > 0 && tick.y < send.y, 'the widget is not before the button');
      if (i === 0) { // another attempt finds its place again
        await solved();
        await page.evaluate(() => fetch('/send', {method: 'POST', body: new FormData(root.querySelector('form'))}).then((r) => r.status));
        assert.equal(await page.locator('#tick').count(), 0);
        await page.evaluate(() => root.querySelector('[name=text]').blur());
        w.app.reset();
      }
    }
    await solved();
    await page.evaluate(() => root.querySelector('form > button').click());
    await arrives(w, page, {field, provider: 'turnstile'});
  });
}

test('a widget that takes its token back', async (t) => {
  const page = await at(t, 'turnstile');
  await page.click('[name=text]');
  await page.click('#tick');
  await ready(page, 'cf-turnstile-response');
  await page.evaluate(() => { document.querySelector('form form [name=cf-turnstile-response]').value = ''; });
  await page.waitForFunction(() => document.querySelector('form > [name=cf-turnstile-response]').disabled);
  await page.click('form > button', {noWaitAfter: true});
  await page.click('#tick');
  await arrives(w, page, {field: 'cf-turnstile-response', provider: 'turnstile'});
});

test('a widget that cannot be loaded: the challenge page takes over', async (t) => {
  const page = await at(t, 'turnstile');
  await page.route('**/turnstile.js', (route) => route.abort('blockedbyclient'));
  await page.click('button', {noWaitAfter: true});
  await page.locator('#captcha-check').waitFor();
  await page.unroute('**/turnstile.js');
  await page.locator('#captcha-button').click();
  await page.click('#tick');
  await received(page);
  assert.equal((await w.app.one()).body.toString(), 'text=hello');
});

test('who does not want to wait for the widget gets the challenge page', async (t) => {
  const page = await at(t, 'turnstile');
  await page.click('button', {noWaitAfter: true});
  await page.locator('#tick').waitFor();
  const from = await page.evaluate(() => performance.now());
  await page.waitForFunction((from) => performance.now() > from + 3100, from);
  await page.click('form > button', {noWaitAfter: true});
  await page.locator('#captcha-check').waitFor();
});

test('a dialog that is cancelled: the page gets the answer', async (t) => {
  const page = await at(t, 'turnstile', '<button id="own">Post</button><dialog id="modal"><button id="inner">Post</button></dialog>');
  await page.evaluate(() => {
    window.results = [];
    const post = () => fetch('/send', {method: 'POST'}).then((r) => r.json()).then((d) => results.push(d.reason));
    for (const id of ['own', 'inner']) document.getElementById(id).onclick = post;
  });
  const box = page.locator('dialog[data-captcha-inject]');
  await page.click('#own');
  await page.locator('#tick').waitFor();
  assert.equal(await box.getAttribute('aria-labelledby'), await box.locator('[role=status]').getAttribute('id'));
  await box.locator('[role=status]', {hasText: 'Please complete the security check.'}).waitFor();
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => results.length === 1);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'own');

  await page.evaluate(() => document.getElementById('modal').showModal());
  await page.click('#inner');
  await page.locator('#modal #tick').waitFor();
  await page.locator('#modal dialog button', {hasText: 'Cancel'}).click();
  await page.waitForFunction(() => results.length === 2);
  assert.deepEqual(await page.evaluate(() => results), ['token-missing', 'token-missing']);
  assert.equal(await box.count(), 0);
  assert.deepEqual(page.faults, []);
});

test('a dialog whose request is given up goes away', async (t) => {
  const page = await at(t, 'turnstile');
  await page.evaluate(() => {
    window.control = new AbortController();
    window.result = fetch('/send', {method: 'POST', signal: control.signal}).catch((error) => error.name);
  });
  await page.locator('dialog #tick').waitFor();
  await page.evaluate(() => control.abort());
  assert.equal(await page.evaluate(() => result), 'AbortError');
  assert.equal(await page.locator('dialog').count(), 0);
});

test('an outage: the proof of work instead, and the widget again after it', async (t) => {
  const field = 'cf-turnstile-response';
  const page = await at(t, 'outage');
  stands.outage.down = true;
  t.after(() => { stands.outage.down = false; });
  await page.click('[name=text]');
  await page.click('#tick');
  await ready(page, field);
  await page.click('form > button', {noWaitAfter: true}); // with this the outage is found out
  await received(page);
  assert.equal((await w.app.one()).headers['x-captcha-provider'], 'pow');

  const second = await at(t, 'outage');
  await second.click('[name=text]');
  await ready(second, 'altcha');
  await second.click('button');
  assert.equal(rest(await arrives(w, second)), 'text=hello');
  assert.equal(await second.evaluate(() => document.querySelectorAll('form form').length), 0);

  stands.outage.down = false;
  await until('it is up again', async () => {
    const {text} = await w.request(w.https('outage.test', '/send'), {method: 'POST', headers: {'Captcha-Request': 'challenge'}});
    return JSON.parse(text).provider === 'turnstile';
  });
  const third = await at(t, 'outage');
  await third.click('[name=text]');
  await third.click('#tick');
  await ready(third, field);
  await third.click('form > button');
  await arrives(w, third, {field, provider: 'turnstile'});
});
