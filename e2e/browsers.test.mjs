// Browsers that lack something: JavaScript, workers, a secure context.
import assert from 'node:assert/strict';
import {card, deafWorkers, kind, noWorkers, received} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const site = (difficulty) => `
	captcha {
		provider pow {
			difficulty ${difficulty}
		}
	}
	reverse_proxy {app}
}`;
const w = await world(`
https://site.test:{https} {
	tls internal
	${site(1000)}
https://hard.site.test:{https} {
	tls internal
	${site(400_000)}
https://endless.site.test:{https} {
	tls internal
	${site(50_000_000)}
http://site.test:{http} {
	${site(5000)}`, {
  pages: {'/form': html('<form method="post" action="/send"><input name="text" value="hello"><button>Send</button></form>')},
});

async function submit(t, url, options) {
  w.app.reset();
  const page = await w.visitor(t, options);
  await page.goto(url + '/form');
  await page.click('button', {noWaitAfter: true});
  return page;
}

test('JavaScript off: a text says so, and nothing reaches the app', async (t) => {
  const page = await submit(t, w.https('site.test'), {javaScriptEnabled: false});
  await card(page).waitFor();
  const text = await page.locator('body').innerText();
  assert.match(text, /needs JavaScript, but JavaScript is switched off/);
  assert.match(text, /Reference: \w{10}/);
  assert.doesNotMatch(text, /will be sent by itself/);
  assert.equal(await page.locator('button:visible, progress:visible').count(), 0);
  assert.deepEqual(w.app.posts, []);
  // and the way back is open
  await page.goBack();
  assert.equal(await page.inputValue('[name=text]'), 'hello');
});

test('JavaScript off: the page names the site', async (t) => {
  const page = await submit(t, w.https('site.test'), {javaScriptEnabled: false});
  await card(page).waitFor();
  assert.match(await page.locator('header').innerText(), /site\.test/);
  assert.match(await page.title(), /site\.test/);
});

// beat counts what the page's main thread gets done besides, and its longest pause.
const beat = () => {
  window.beats = {ticks: 0, frames: 0, longest: 0};
  let last;
  setInterval(() => {
    if (last) beats.longest = Math.max(beats.longest, performance.now() - last);
    last = performance.now();
    beats.ticks++;
  }, 10);
  requestAnimationFrame(function frame() {
    beats.frames++;
    requestAnimationFrame(frame);
  });
};

// unsent keeps the page in place should its puzzle happen to be solved early.
const unsent = () => { HTMLFormElement.prototype.submit = () => {}; };

for (const [name, init] of [['forbidden', noWorkers], ['without an answer', deafWorkers]]) {
  test(`workers ${name}: solved on the main thread`, async (t) => {
    const page = await submit(t, w.https('hard.site.test'), {init: [init]});
    await received(page);
    await w.app.one();
    assert.deepEqual(page.faults, []);
  });

  test(`workers ${name}: the page stays responsive`, async (t) => {
    const page = await submit(t, w.https('endless.site.test'), {init: [init, beat, unsent]});
    await card(page).waitFor();
    await page.waitForFunction(() => performance.now() > 2000);
    const {beats, progress} = await page.evaluate(() => ({beats: window.beats, progress: document.getElementById('captcha-progress').value}));
    t.diagnostic(JSON.stringify({...beats, progress}));
    assert.ok(progress > 0);
    assert.ok(beats.ticks >= 10, `${beats.ticks} ticks`);
    assert.ok(beats.frames >= 10, `${beats.frames} frames`);
    // slices of 12 ms, on a machine that has other things to do
    assert.ok(beats.longest < 1000, `the page stood still for ${beats.longest} ms`);
    // what a visitor does is answered: back leads to the form
    await page.goBack();
    assert.equal(await page.inputValue('[name=text]'), 'hello');
    assert.deepEqual(w.app.posts, []);
  });
}

test('workers that die after a while hold nothing up', async (t) => {
  const dying = () => {
    const Real = window.Worker;
    let answers = 0;
    window.Worker = class extends Real {
      set onmessage(f) { super.onmessage = (e) => { if (++answers < 4) f(e); else this.terminate(); }; }
    };
  };
  const page = await submit(t, w.https('hard.site.test'), {init: [dying]});
  await received(page);
  await w.app.one();
});

test('plain http on a name: no secure context, no crypto.subtle', async (t) => {
  const page = await submit(t, w.http('site.test'), {init: [() => {
    sessionStorage[location.pathname] = `${isSecureContext} ${typeof crypto.subtle}`;
  }]});
  await received(page);
  assert.equal(await page.evaluate(() => sessionStorage['/send']), 'false undefined');
  const seen = await w.app.one();
  assert.equal(seen.body.toString(), 'text=hello');
  assert.equal(seen.headers.origin, w.http('site.test'));
  // on plain http Chromium sends no Sec-Fetch headers
  assert.equal(seen.headers['sec-fetch-site'], undefined);
  assert.deepEqual(page.faults, []);
});

test('while it is solved the page says what goes on', async (t) => {
  const page = await submit(t, w.https('endless.site.test'), {init: [noWorkers]});
  await page.waitForFunction(() => {
    const p = document.getElementById('captcha-progress');
    return p && !p.hidden && p.value > 0;
  });
  assert.equal(await kind(page), 'submit');
  assert.match(await card(page).innerText(), /Checking that you are not a robot/);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
});
