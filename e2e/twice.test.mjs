// Double clicks, two tabs, back, reload, and puzzles that have expired.
import assert from 'node:assert/strict';
import {button, card, hold, kind, received, release, status} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /send* {
		provider pow {
			difficulty 1000
		}
	}
	captcha /short* {
		provider pow {
			difficulty 1000
			expires 2s
		}
	}
	reverse_proxy {app}
}`, {
  browser: {bfcache: true},
  pages: {
    '/form': html('<form method="post" action="/send"><input name="text"><button>Send</button></form><a href="/">away</a>'),
    '/short-form': html('<form method="post" action="/short"><input name="text" value="late"><button>Send</button></form>'),
    '/': html('<p id="home">home</p>'),
  },
});

async function atForm(t, options) {
  w.app.reset();
  const page = await w.visitor(t, options);
  await page.goto(w.https('site.test', '/form'));
  await page.fill('[name=text]', 'hello');
  return page;
}

test('a double click on the app\'s own button sends one form', async (t) => {
  const page = await atForm(t);
  await page.dblclick('button', {noWaitAfter: true});
  await received(page);
  await w.app.one();
});

test('Enter twice sends one form', async (t) => {
  const page = await atForm(t);
  await page.focus('[name=text]');
  await Promise.all([page.keyboard.press('Enter'), page.keyboard.press('Enter')]);
  await received(page);
  await w.app.one();
});

test('D-52 the app\'s form sent twice with one token: one of them gets in with it', async (t) => {
  const page = await atForm(t);
  await page.evaluate(async () => {
    const {challenge} = await (await fetch('/send', {method: 'POST', headers: {'Captcha-Request': 'challenge'}})).json();
    const {algorithm, salt, signature, maxnumber} = challenge;
    for (let number = 0; number <= maxnumber; number++) {
      const sum = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(salt + number));
      const hex = [...new Uint8Array(sum)].map((b) => b.toString(16).padStart(2, '0')).join('');
      if (hex !== challenge.challenge) continue;
      const field = Object.assign(document.createElement('input'), {type: 'hidden', name: 'altcha'});
      field.value = btoa(JSON.stringify({algorithm, challenge: challenge.challenge, number, salt, signature}));
      document.forms[0].append(field);
      return;
    }
  });
  const statuses = await page.evaluate(async () => {
    const body = new URLSearchParams(new FormData(document.forms[0]));
    const answers = await Promise.all(Array.from({length: 20}, () => fetch('/send', {method: 'POST', body})));
    return answers.map((a) => a.status).sort();
  });
  assert.deepEqual(statuses, [200, ...Array(19).fill(403)]);
  await w.app.one();

  // by hand, with the same token still in the form: the edge asks again, and the form arrives once more
  w.app.reset();
  await page.click('button');
  await received(page);
  const again = await w.app.one();
  assert.match(again.body.toString(), /^text=hello&altcha=/); // the app's own field is the app's
});

test('two tabs that are challenged at the same time both get through', async (t) => {
  const first = await atForm(t, {init: [hold]});
  const second = await w.open(first.context());
  await second.goto(w.https('site.test', '/form'));
  await second.fill('[name=text]', 'second');
  for (const page of [first, second]) {
    await page.click('button');
    await card(page).waitFor();
  }
  await Promise.all([release(first), release(second)]);
  await Promise.all([received(first), received(second)]);
  const posts = await w.app.arrivals(2);
  assert.deepEqual(posts.map((p) => p.body.toString()).sort(), ['text=hello', 'text=second']);
});

// goBack does not wait for a load: a page from the browser's memory has none.
const goBack = (page) => page.goBack({waitUntil: 'commit', timeout: 5000}).catch(() => {});

// later holds for some time. Nothing here may evaluate in the page before it is
// sent: Playwright does so as a user's act, and browsers tell these apart.
const later = () => { if (location.pathname === '/send') setTimeout(() => window.release(), 1500); };

for (const late of [false, true]) {
  test(`back after success leads to the form: solved ${late ? 'after some time' : 'at once'}`, async (t) => {
    const page = await atForm(t, {init: late ? [hold, later] : []});
    await page.click('button', {noWaitAfter: true});
    await w.app.one();
    await received(page);
    await goBack(page);
    await page.waitForFunction(() => document.readyState === 'complete');
    assert.equal(page.url(), w.https('site.test', '/form'));
    await page.waitForFunction(() => document.querySelector('[name=text]')?.value === 'hello');
  });
}

test('back from the challenge page leads to the form as it was', async (t) => {
  const page = await atForm(t, {init: [hold]});
  await page.click('button');
  await card(page).waitFor();
  await goBack(page);
  await page.waitForFunction(() => document.querySelector('[name=text]')?.value === 'hello');
  assert.deepEqual(w.app.posts, []);
});

test('reload of the challenge page: a new puzzle, and the form arrives once', async (t) => {
  const page = await atForm(t, {init: [hold]});
  await page.click('button');
  await card(page).waitFor();
  await page.reload({waitUntil: 'commit'}); // the page counts as loading until it is sent
  await card(page).waitFor();
  assert.equal(await kind(page), 'submit');
  assert.deepEqual(w.app.posts, []);
  await release(page);
  await received(page);
  assert.equal((await w.app.one()).body.toString(), 'text=hello');
});

test('reload of the receipt sends the form again: as without us, after a new check', async (t) => {
  const page = await atForm(t);
  await page.click('button');
  await received(page);
  await page.reload();
  await received(page);
  const posts = await w.app.arrivals(2);
  assert.deepEqual(posts.map((p) => p.body.toString()), ['text=hello', 'text=hello']);
  assert.deepEqual(page.faults, []);
});

test('a puzzle that expires while the device sleeps is replaced before it is used', async (t) => {
  w.app.reset();
  const page = await w.visitor(t, {init: [hold]});
  let answers = 0;
  page.on('response', (r) => { if (r.url().endsWith('/short')) answers++; });
  await page.goto(w.https('site.test', '/short-form'));
  await page.click('button');
  await card(page).waitFor();
  await page.waitForFunction(() => performance.now() > 3000);
  await release(page);
  await received(page);
  await w.app.one();
  assert.equal(answers, 3); // page, puzzle, receipt
});

test('a proof that has expired on the way: the edge asks again, and the form arrives', async (t) => {
  w.app.reset();
  // the page notices nothing: its clocks stand still
  const page = await w.visitor(t, {init: [hold, () => {
    if (sessionStorage.second) return;
    if (location.pathname === '/short') sessionStorage.second = 1;
    window.clock = performance.now.bind(performance);
    performance.now = () => 0;
    Date.now = () => 0;
  }]});
  await page.goto(w.https('site.test', '/short-form'));
  await page.click('button');
  await card(page).waitFor();
  await page.waitForFunction(() => window.clock() > 3000);
  await release(page);
  await page.locator('.problem', {hasText: 'has expired'}).waitFor();
  assert.deepEqual(w.app.posts, []);
  await release(page);
  await received(page);
  assert.equal((await w.app.one()).body.toString(), 'text=late');
});
