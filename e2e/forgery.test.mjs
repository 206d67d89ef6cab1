// Promise 8: an attacker's page cannot make the edge send a request for it.
//
// evil.test posts a transfer to site.test, where the visitor has sessions in
// SameSite=Lax and SameSite=Strict cookies. Whatever the visitor does then, the
// app must not get the transfer together with such a cookie.
import assert from 'node:assert/strict';
import {button, card, kind, ready, received} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {carriedBy, solve} from './lib/token.mjs';
import {test, world} from './lib/world.mjs';

const site = `
	tls internal
	captcha /transfer* {
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}
`;
const w = await world(`
https://site.test:{https} { ${site} }
http://site.test:{http} {
	captcha /transfer* {
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}
}
https://evil.test:{https}, https://www.site.test:{https} {
	tls internal
	reverse_proxy {app}
}
http://evil.test:{http} {
	reverse_proxy {app}
}`.replace(/\{ \n/g, '{\n'), {pages: {
  '/login': (seen, res) => res.writeHead(200, {
    'Content-Type': 'text/html',
    'Set-Cookie': ['lax=session; Secure; Path=/; SameSite=Lax', 'strict=session; Secure; Path=/; SameSite=Strict', 'none=session; Secure; Path=/; SameSite=None'],
  }).end(html('<p>You are in.</p>')),
  '/form': html('<form method="post" action="/transfer"><input name="amount" value="5"><button>Send</button></form>'),
}});

const target = w.https('site.test', '/transfer?to=mallory');

// attack is a page of the attacker. It posts at once, and only once, so that a
// way back to it can be told from a new attack.
const attack = (url, {fields = {amount: '1000'}, attributes = '', before = '', auto = true} = {}) => html(`${before}
<form method="post" action="${url.replaceAll('&', '&amp;')}" ${attributes}>
${Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`).join('')}
<button id="win">Win a prize</button></form>
<script>${auto ? `addEventListener('load', () => setTimeout(() => {
  if (!sessionStorage.posted) { sessionStorage.posted = 1; document.forms[0].submit(); }
}));` : ''}</script>`);

// victim is a visitor who is logged in at site.test and comes to the attacker.
async function victim(t, page, {host = 'evil.test', url = w.https(host, '/attack'), ...options} = {}) {
  w.app.pages['/attack'] = page;
  const tab = await w.visitor(t, options);
  await tab.goto(w.https('site.test', '/login'));
  w.app.reset();
  await tab.goto(url, {waitUntil: 'commit'});
  return tab;
}

// harmless: no forged transfer has reached the app with the visitor's session.
function harmless() {
  for (const seen of w.app.posts) {
    assert.ok(!/\b(lax|strict)=/.test(seen.headers.cookie ?? ''), `a forged post came with ${seen.headers.cookie}`);
    assert.equal(seen.headers['sec-fetch-site'], 'cross-site');
    assert.equal(seen.headers.origin, w.https('evil.test'));
  }
}

const nothing = () => assert.deepEqual(w.app.posts, []);

test('the attack works where it must: the test can see it', async (t) => {
  const tab = await victim(t, attack(w.https('www.site.test', '/transfer')), {});
  await received(tab);
  const seen = await w.app.one();
  assert.equal(seen.headers.cookie, undefined); // other host
  const direct = await victim(t, html('<a id="x" href="' + w.https('site.test', '/transfer') + '">x</a>'));
  await direct.click('#x');
  await direct.waitForURL(/transfer/);
  assert.match(w.app.seen.at(-1).headers.cookie, /lax=session/); // a link carries Lax
});

test('D-76 a cross-site post is not carried: solved, redeemed, gone back, sent again', async (t) => {
  const tab = await victim(t, attack(target));
  await card(tab).waitFor();
  assert.equal(await kind(tab), 'redeem');
  await ready(tab);
  nothing();
  const once = (await tab.context().cookies()).filter((c) => c.name.includes('-once-'));
  assert.deepEqual(once.map(({name, httpOnly, secure, sameSite, path}) => ({start: name.slice(0, 20), httpOnly, secure, sameSite, path})),
    [{start: '__Host-captcha-once-', httpOnly: true, secure: true, sameSite: 'None', path: '/'}]);

  await button(tab).click();
  await tab.locator('#win').waitFor();
  nothing();
  await tab.click('#win');
  await received(tab);
  const seen = await w.app.one();
  harmless();
  assert.equal(seen.headers['x-captcha-status'], 'cleared');
  assert.match(seen.headers.cookie, /none=session/); // the browser's own rule, not ours
  assert.equal(seen.body.toString(), 'amount=1000');

  // one use
  await tab.goBack();
  await tab.click('#win');
  await card(tab).waitFor();
  assert.equal(await kind(tab), 'redeem');
  assert.equal(w.app.posts.length, 1);
});

test('reloading the page sends the post again as what it was', async (t) => {
  const tab = await victim(t, attack(target));
  await ready(tab);
  nothing();
  await tab.reload(); // the visitor agrees to send the form again; there is a clearance now
  await received(tab);
  await w.app.one();
  harmless();
});

test('forward in history to the page, and sending again there', async (t) => {
  const tab = await victim(t, attack(target));
  await ready(tab);
  await button(tab).click();
  await tab.locator('#win').waitFor();
  await tab.goForward().catch(() => {}); // Chromium asks before it sends again: its error page ERR_CACHE_MISS
  await tab.waitForURL('chrome-error://**');
  nothing();
  await tab.reload();
  await received(tab);
  await w.app.one();
  harmless();
});

test('D-82 a clearance does not open another path, query or method', async (t) => {
  const tab = await victim(t, attack(target));
  await ready(tab);
  for (const url of ['/transfer?to=other', '/transfer', '/transfer/?to=mallory']) {
    w.app.pages['/again'] = attack(w.https('site.test', url), {auto: false});
    await tab.goto(w.https('evil.test', '/again'));
    await tab.click('#win');
    await card(tab).waitFor();
    assert.equal(await kind(tab), 'redeem', url);
    await tab.waitForLoadState();
  }
  nothing();
});

for (const host of ['evil.test', 'www.site.test', 'site.test']) {
  test(`a post that ${host} redirects with 307 is the attacker's still`, async (t) => {
    w.app.pages['/bounce'] = (seen, res) => res.writeHead(307, {Location: target}).end();
    const tab = await victim(t, attack(w.https(host, '/bounce')));
    await card(tab).waitFor();
    assert.equal(await kind(tab), 'redeem');
    await ready(tab);
    assert.deepEqual(w.app.posts.filter((p) => p.url.startsWith('/transfer')), []);
  });
}

test('a link that overrides the method is not followed for the attacker', async (t) => {
  const tab = await victim(t, html(`<a id="x" href="${target}&amp;_method=DELETE">x</a>`));
  await tab.click('#x');
  await card(tab).waitFor();
  assert.equal(await kind(tab), 'redeem');
  assert.deepEqual(w.app.seen.filter((r) => r.url.startsWith('/transfer')), []);
});

test('a post from a new window, and the window\'s hold on it', async (t) => {
  const tab = await victim(t, attack(target, {attributes: 'target="pop"', auto: false}) +
    '<script>let pop; document.forms[0].onsubmit = () => { pop = open("about:blank", "pop"); };</script>');
  const [popup] = await Promise.all([tab.context().waitForEvent('page'), tab.click('#win')]);
  await card(popup).waitFor();
  assert.equal(await kind(popup), 'redeem');
  assert.equal(await tab.evaluate('pop.closed'), true); // COOP: out of the attacker's reach
  await popup.waitForFunction(() => document.getElementById('captcha-status').textContent.includes('close this tab'));
  nothing();
});

for (const host of ['evil.test', 'www.site.test']) {
  test(`D-80 a frame of ${host} shows no challenge`, async (t) => {
    const tab = await victim(t, attack(target, {before: '<iframe name="frame"></iframe>', attributes: 'target="frame"'}), {host});
    const refused = tab.waitForEvent('console', (m) => /frame/i.test(m.text()) && /refused|denied|violates|blocked/i.test(m.text()));
    await tab.waitForFunction(() => document.forms[0]);
    await tab.evaluate(() => document.forms[0].submit());
    await refused;
    await tab.waitForFunction(() => { try { return !document.querySelector('iframe').contentDocument; } catch { return true; } });
    for (const frame of tab.frames().slice(1)) {
      assert.match(frame.url(), /^(chrome-error:|about:blank)/);
      assert.equal(await frame.locator('#captcha-check').count(), 0);
    }
    nothing();
    assert.deepEqual((await tab.context().cookies()).filter((c) => c.name.includes('captcha')), []);
  });
}

// A seal that the attacker has got for a transfer of their own.
async function bought(headers) {
  const answer = await w.request(target, {
    method: 'POST', body: 'amount=1000',
    headers: {'Content-Type': 'application/x-www-form-urlencoded', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', ...headers},
  });
  const {seal, challenge} = carriedBy(answer.text);
  return {altcha: solve(challenge), 'captcha-seal': seal};
}
const own = {Origin: w.https('site.test'), 'Sec-Fetch-Site': 'same-origin'};

test('the attacker can use such a seal: the test can see it', async () => {
  w.app.reset();
  const body = new URLSearchParams(await bought(own)).toString();
  const answer = await w.request(target, {method: 'POST', body, headers: {'Content-Type': 'application/x-www-form-urlencoded', ...own}});
  assert.equal(answer.status, 200);
  assert.equal((await w.app.one()).body.toString(), 'amount=1000');
});

for (const host of ['evil.test', 'www.site.test']) {
  test(`D-76 a seal that ${host} makes the visitor's browser post does not open`, async (t) => {
    const fields = await bought(own);
    w.app.reset();
    const tab = await victim(t, attack(target, {fields}), {host});
    await card(tab).waitFor();
    assert.equal(await kind(tab), 'stop');
    nothing();
  });
}

test('a seal with a clearance from redeeming does not open either', async (t) => {
  const tab = await victim(t, attack(target));
  await ready(tab); // has the clearance
  w.app.pages['/again'] = attack(target, {fields: await bought(own), auto: false});
  await tab.goto(w.https('evil.test', '/again'));
  await tab.click('#win');
  await tab.waitForURL(target);
  harmless(); // the clearance opens the post as it is: the app gets a seal that it cannot read
  for (const seen of w.app.posts) assert.ok(!seen.body.includes('amount'));
});

test('D-77 seals that were changed, cut, swapped or made for another path do not open', async (t) => {
  const tab = await w.visitor(t);
  await tab.goto(w.https('site.test', '/form'));
  const fields = await bought(own);
  const seal = fields['captcha-seal'];
  const flip = (at) => seal.slice(0, at) + (seal[at] === 'A' ? 'B' : 'A') + seal.slice(at + 1);
  w.app.reset();
  const post = async (path, sealed) => {
    const {altcha} = await bought(own);
    return tab.evaluate(async ([url, body]) => {
      const r = await fetch(url, {method: 'POST', body: new URLSearchParams(body)});
      return r.status;
    }, [path, {altcha, 'captcha-seal': sealed}]);
  };
  for (const bad of [flip(0), flip(20), flip(seal.length >> 1), flip(seal.length - 2), seal.slice(0, -4), seal + 'AAAA', 'AAAA']) {
    assert.equal(await post('/transfer?to=mallory', bad), 400);
  }
  for (const path of ['/transfer?to=other', '/transfer', '/transfer/x?to=mallory']) assert.equal(await post(path, seal), 400, path);
  nothing();
  assert.equal(await post('/transfer?to=mallory', seal), 200);
});

test('scripts of other sites cannot redeem or ask for a seal to be opened', async (t) => {
  const crossSite = await bought({Origin: w.https('evil.test'), 'Sec-Fetch-Site': 'cross-site'});
  for (const host of ['evil.test', 'www.site.test']) {
    const tab = await victim(t, html('attack'), {host});
    const results = await tab.evaluate(async ([url, fields]) => {
      const init = {method: 'POST', credentials: 'include', body: new URLSearchParams(fields)};
      const outcome = (p) => p.then((r) => r.type === 'opaque' ? 'opaque' : r.status, () => 'blocked');
      return [
        await outcome(fetch(url, {...init, headers: {'Captcha-Redeem': '1'}})),
        await outcome(fetch(url, {...init, mode: 'no-cors', headers: {'Captcha-Redeem': '1'}})),
        await outcome(fetch(url, init)),
      ];
    }, [target, crossSite]);
    assert.deepEqual(results, ['blocked', 'opaque', 'blocked']);
    nothing();
    assert.deepEqual((await tab.context().cookies()).filter((c) => c.name.includes('captcha')), []);
  }
});

test('plain http: a cross-site post is told that it cannot be accepted', async (t) => {
  const tab = await w.visitor(t);
  w.app.pages['/attack'] = attack(w.http('site.test', '/transfer'));
  w.app.reset();
  await tab.goto(w.http('evil.test', '/attack'), {waitUntil: 'commit'});
  await card(tab).waitFor();
  assert.equal(await kind(tab), 'stop');
  assert.match(await card(tab).innerText(), /came from another site, and this connection is not secure/);
  assert.equal(await tab.locator('form, script').count(), 0);
  nothing();
});
