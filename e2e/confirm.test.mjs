// A form of a sister site (same-site, another origin) is sent after a click on a
// button that names where it came from.
import assert from 'node:assert/strict';
import {armed, button, card, hold, kind, ready, received, release, status} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /send* {
		provider pow {
			difficulty 1000
			expires 3s
		}
	}
	reverse_proxy {app}
}
https://www.site.test:{https} {
	tls internal
	reverse_proxy {app}
}`);
const sister = w.https('www.site.test');
w.app.pages['/form'] = html(`<form method="post" action="${w.https('site.test', '/send?a=1')}">
<input name="text" value="grüße"><button>Send</button></form>`);

// come submits the sister's form and waits for the page.
async function come(t, options) {
  w.app.reset();
  const page = await w.visitor(t, options);
  await page.goto(sister + '/form');
  await page.click('button');
  await card(page).waitFor();
  assert.equal(await kind(page), 'confirm');
  return page;
}

test('the button names the origin, has no focus, and sends the form once', async (t) => {
  const page = await come(t);
  await armed(page);
  assert.equal(await button(page).innerText(), `Send the form from ${sister}`);
  assert.match(await card(page).innerText(), new RegExp(`filled in on ${sister}`));
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true);
  assert.deepEqual(w.app.posts, []);
  await button(page).dblclick({noWaitAfter: true});
  await received(page);
  const seen = await w.app.one();
  assert.equal(seen.headers.origin, sister);
  assert.equal(seen.headers['sec-fetch-site'], 'same-site');
  assert.equal(seen.headers.referer, sister + '/');
  assert.equal(seen.url, '/send?a=1');
  assert.equal(seen.body.toString(), 'text=gr%C3%BC%C3%9Fe');
  assert.deepEqual(page.faults, []);
});

// A page that makes the visitor click fast where the button will appear.
test('clicks that rain on the place do nothing for 500 ms', async (t) => {
  let appeared = 0;
  const watch = () => {
    const look = () => {
      const b = document.getElementById('captcha-button');
      if (b && !b.hidden) return void window.appeared(Date.now());
      requestAnimationFrame(look);
    };
    if (location.pathname === '/send') look();
  };
  w.app.reset();
  const page = await w.visitor(t, {init: [watch, hold]});
  await page.exposeFunction('appeared', (at) => { appeared ||= at; });
  await page.goto(sister + '/form');
  await page.click('button');
  await card(page).waitFor();
  // where the button is going to be: taken from another visit
  const other = await come(t);
  await ready(other);
  const box = await button(other).boundingBox();
  await release(page);
  let clicks = 0;
  for (; !w.app.posts.length && clicks < 1000; clicks++) {
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2, {clickCount: clicks % 2 + 1}).catch(() => {});
  }
  await received(page);
  const seen = await w.app.one();
  assert.ok(appeared > 0);
  assert.ok(seen.at - appeared >= 500, `sent after ${seen.at - appeared} ms`);
  assert.ok(clicks > 10, `only ${clicks} clicks`);
});

test('a script\'s click and the Enter key of a page before do nothing', async (t) => {
  const page = await come(t);
  await armed(page);
  await page.keyboard.press('Enter'); // nothing has the focus
  await button(page).evaluate((b) => b.click());
  await page.evaluate(() => new Promise((done) => setTimeout(done)));
  assert.match(await status(page).innerText(), /Do you want to send the form/);
  assert.deepEqual(w.app.posts, []);
});

test('keyboard: one Tab, Enter', async (t) => {
  const page = await come(t);
  await armed(page);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'captcha-button');
  await page.keyboard.press('Enter');
  await received(page);
  await w.app.one();
});

test('a click after the puzzle has expired: it is replaced, and the form arrives', async (t) => {
  const page = await come(t);
  await ready(page);
  const asked = page.waitForRequest((r) => r.headers()['captcha-request'] === 'challenge');
  await page.waitForFunction((t) => performance.now() > t, 4000);
  await button(page).click();
  await asked;
  await received(page);
  await w.app.one();
});
