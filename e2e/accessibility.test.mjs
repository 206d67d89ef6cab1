// WCAG 2.2 AA, as far as axe-core sees it, and the keyboard.
import assert from 'node:assert/strict';
import axe from 'axe-core';
import {armed, received} from './lib/browser.mjs';
import {prepare, reach, sites, ways} from './lib/kinds.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(sites);
prepare(w);

const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const looks = {
  light: {},
  dark: {colorScheme: 'dark'},
  arabic: {locale: 'ar'},
  'phone, 320 px': {viewport: {width: 320, height: 640}, isMobile: true, hasTouch: true},
  'dark phone in German': {viewport: {width: 320, height: 640}, colorScheme: 'dark', locale: 'de-DE'},
};

async function examine(page) {
  await page.evaluate(axe.source);
  const {violations, incomplete, passes} = await page.evaluate((values) => window.axe.run(document, {runOnly: {type: 'tag', values}}), tags);
  assert.ok(passes.length > 5);
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`), []);
  return incomplete.map((i) => i.id);
}

for (const way of Object.keys(ways)) {
  test(`axe-core: ${way}`, async (t) => {
    for (const [look, options] of Object.entries(looks)) {
      await t.test(look, async (t) => {
        const page = await reach(w, t, way, options);
        const open = await examine(page);
        if (open.length) t.diagnostic(`for people to judge: ${open}`);
        assert.equal(await page.evaluate(() => document.documentElement.dir), look === 'arabic' ? 'rtl' : 'ltr');
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'scrolls sideways');
        assert.equal(await page.evaluate(() => document.documentElement.lang), (options.locale ?? 'en').slice(0, 2));
        const small = await page.evaluate(() => [...document.querySelectorAll('a, button')]
          .filter((e) => e.offsetParent && (e.offsetHeight < 24 || e.offsetWidth < 24)).map((e) => e.outerHTML));
        assert.deepEqual(small, []);
      });
    }
  });
}

// stops are what Tab reaches, in order.
async function stops(page) {
  const reached = [];
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press('Tab');
    const name = await page.evaluate(() => document.activeElement === document.body ? '' : document.activeElement.id || document.activeElement.localName);
    if (!name || reached.includes(name)) break;
    reached.push(name);
  }
  return reached;
}

test('keyboard: Tab reaches what can be done, and nothing else', async (t) => {
  const want = {
    working: ['a'], confirm: ['captcha-button', 'a'], 'redeem-large': ['captcha-button', 'a'],
    'redeem-elsewhere': ['captcha-button', 'a'], failed: ['captcha-button', 'a'], stop: [],
  };
  for (const way of Object.keys(ways)) {
    const page = await reach(w, t, way);
    assert.deepEqual(await stops(page), want[way], way);
  }
});

test('keyboard: Enter sends, goes back, tries again', async (t) => {
  w.app.reset();
  let page = await reach(w, t, 'confirm');
  await armed(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await received(page);
  await w.app.one();

  page = await reach(w, t, 'redeem-large');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.waitForURL('**/form');

  page = await reach(w, t, 'failed');
  await page.unroute('**/send');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /go back and send/.test(document.getElementById('captcha-status').textContent));
});

test('what changes is announced, and the heading is the page\'s only one', async (t) => {
  const page = await reach(w, t, 'confirm');
  assert.equal(await page.locator('[role=status]').innerText(), 'Check passed. Do you want to send the form?');
  assert.equal(await page.locator('h1').count(), 1);
  assert.match(await page.title(), /Example Shop/);
});
