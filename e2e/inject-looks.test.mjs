// captcha_inject: what a visitor sees and hears of it, and axe-core on it (SCREENSHOTS=dir keeps pictures).
import assert from 'node:assert/strict';
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import axe from 'axe-core';
import {hold, release} from './lib/browser.mjs';
import {injected, ready, visit} from './lib/inject.mjs';
import {startProviders, turnstile, turnstileWidget} from './lib/providers.mjs';
import {test, world} from './lib/world.mjs';

const secret = 'the-secret-of-the-tests';
const services = await startProviders({providers: {turnstile: turnstile({secret, hostname: 'widget.test'}).handle}, files: {'/turnstile.js': turnstileWidget}});
const w = await world(injected('site.test') + injected('widget.test', {
  provider: `turnstile {
			site_key 0x4AAAAAAAtests
			secret_key ${secret}
			verify_url ${services.origin}/turnstile/siteverify
			script_url ${services.origin}/turnstile.js
		}`,
}));

const looks = {
  light: {},
  dark: {colorScheme: 'dark'},
  phone: {viewport: {width: 320, height: 640}, isMobile: true, hasTouch: true},
  arabic: {lang: 'ar', locale: 'ar'},
};
const style = '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><style>body{font:1rem system-ui;margin:1rem}label{display:block}</style>';
const shapes = {
  stacked: '<form method="post" action="/send"><label>Name <input name="text"></label><p><button>Send</button></p></form>',
  row: '<form method="post" action="/send" style="display:flex;gap:.5rem"><input name="text" aria-label="Name" style="min-width:0"><button>Send</button></form><p>Text below</p>',
};

async function examine(page, name) {
  if (process.env.SCREENSHOTS) {
    mkdirSync(process.env.SCREENSHOTS, {recursive: true});
    await page.screenshot({path: join(process.env.SCREENSHOTS, `inject-${name.replace(/\W+/g, '-')}.png`)});
  }
  await page.evaluate(axe.source);
  const {violations, passes} = await page.evaluate(() => window.axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}}));
  assert.ok(passes.length > 5);
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`), []);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'scrolls sideways');
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0, 'something moves');
  assert.deepEqual(page.faults, []);
}

// open visits a page in the language of a look.
async function open(t, host, body, {lang, ...options} = {}) {
  const page = await visit(w, t, body, {host, head: style + (lang ? `<script>document.documentElement.lang = "${lang}"; document.documentElement.dir = "rtl"</script>` : ''), ...options});
  t.after(() => page.context().close());
  return page;
}

for (const [look, options] of Object.entries(looks)) {
  for (const [shape, body] of Object.entries(shapes)) {
    test(`a form, ${shape}, ${look}`, async (t) => {
      const page = await open(t, 'site.test', body, {init: [hold], ...options});
      const before = await page.locator('button').boundingBox();
      await page.click('[name=text]');
      await page.waitForFunction(() => document.querySelector('[role=status]')?.textContent);
      await examine(page, `${shape}-${look}-working`);
      await release(page);
      await ready(page);
      const status = page.locator('[role=status]');
      assert.equal(await status.innerText(), options.lang ? 'اجتزت الفحص.' : 'Check passed.');
      assert.deepEqual(await status.evaluate((e) => [e.lang, e.dir, getComputedStyle(e).direction]), options.lang ? ['ar', 'rtl', 'rtl'] : ['en', 'ltr', 'ltr']);
      await examine(page, `${shape}-${look}-passed`);
      assert.deepEqual(await page.locator('button').boundingBox(), before, 'the button has moved');
    });

    test(`a widget in a form, ${shape}, ${look}`, async (t) => {
      const page = await open(t, 'widget.test', body, options);
      await page.click('[name=text]');
      await page.locator('#tick').waitFor();
      await page.waitForFunction(() => document.querySelector('[role=status]').textContent.length > 10);
      const [widget, button] = [await page.locator('#tick').boundingBox(), await page.locator('form > button, p > button').boundingBox()];
      assert.ok(widget.y < button.y, 'the widget is not before the button');
      await examine(page, `widget-${shape}-${look}`);
    });
  }

  test(`the dialog, ${look}`, async (t) => {
    const page = await open(t, 'widget.test', '<button id="own">Post</button>', options);
    await page.evaluate(() => { document.getElementById('own').onclick = () => { fetch('/send', {method: 'POST'}); }; });
    await page.click('#own');
    await page.locator('dialog #tick').waitFor();
    await page.waitForFunction(() => document.activeElement.localName === 'dialog'); // so that it is read out
    await page.locator('dialog [role=status]', {hasText: options.lang ? 'يُرجى إكمال الفحص الأمني.' : 'Please complete the security check.'}).waitFor();
    assert.equal(await page.locator('dialog').evaluate((e) => getComputedStyle(e).direction), options.lang ? 'rtl' : 'ltr');
    await examine(page, `dialog-${look}`);
    assert.equal(await page.locator('dialog').evaluate((e) => { // the widest widgets
      e.querySelector('form').style.width = '304px';
      return e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight;
    }), true, 'the dialog scrolls');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'tick');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => !document.querySelector('dialog'));
    assert.equal(await page.evaluate(() => document.activeElement.id), 'own');
  });
}

test('the dialog gets the focus, and gives it back to where it was', async (t) => {
  // a page's own modal box, of the kind that brings the focus back into it, and a button in a shadow root
  const page = await open(t, 'widget.test', `<div id="box"><button id="first">First</button><div id="host"></div><input id="other" aria-label="Other"></div>
    <script>
    const root = document.getElementById('host').attachShadow({mode: 'open'});
    root.innerHTML = '<button id="inner">Post</button>';
    root.querySelector('button').onclick = () => {
      window.control = new AbortController();
      fetch('/send', {method: 'POST', signal: control.signal}).catch(() => {});
    };
    document.addEventListener('focusin', (e) => document.getElementById('box').contains(e.target) || document.getElementById('first').focus());
    </script>`);
  const focused = () => page.evaluate(() => (document.activeElement.shadowRoot ?? document).activeElement.id);
  const shown = async () => {
    await page.evaluate(() => document.getElementById('host').shadowRoot.querySelector('button').focus());
    await page.keyboard.press('Enter');
    await page.locator('dialog #tick').waitFor();
    await page.waitForFunction(() => document.activeElement.localName === 'dialog');
  };
  await shown();
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'tick');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('dialog'));
  assert.equal(await focused(), 'inner');

  await shown();
  await page.focus('#other'); // the visitor goes on elsewhere
  await page.evaluate(() => control.abort());
  await page.waitForFunction(() => !document.querySelector('dialog'));
  assert.equal(await focused(), 'other');
  assert.deepEqual(page.faults, []);
});

// What the texts are in.
for (const [want, lang, locale] of [['en', 'en-GB', 'de'], ['de', '', 'de-AT'], ['zh-Hant', 'zh-TW', 'en'], ['zh-Hans', 'zh', 'en'], ['fr', 'xx', 'fr-CA'], ['en', 'constructor', 'xx'], ['pt', 'pt_BR', 'en']]) {
  test(`the language of a page in ${lang || 'none'} for a visitor of ${locale}: ${want}`, async (t) => {
    const page = await open(t, 'site.test', shapes.stacked + `<script>document.documentElement.lang = '${lang}'</script>`, {locale});
    await page.click('[name=text]');
    await ready(page);
    assert.equal(await page.locator('[role=status]').getAttribute('lang'), want);
  });
}
