// WCAG 2.2 AA, as far as axe-core sees it, on pages with a widget. SCREENSHOTS
// names a directory for pictures of them.
import assert from 'node:assert/strict';
import {join} from 'node:path';
import nodeTest from 'node:test';
import axe from 'axe-core';
import {button, status} from './lib/browser.mjs';
import {form, npm, send, site, startProviders, turnstile, turnstileWidget} from './lib/providers.mjs';
import {world} from './lib/world.mjs';

const secret = 'the-secret-of-the-tests';
const services = await startProviders({
  providers: {turnstile: turnstile({secret}).handle},
  files: {
    '/turnstile.js': turnstileWidget,
    '/cap.js': npm('@cap.js/widget/cap.min.js'),
    '/trustcaptcha.js': npm('@trustcomponent/trustcaptcha-frontend/dist/bundles/trustcaptcha.esm.min.js'),
    '/altcha.js': npm('altcha3/dist/main/altcha.js'),
  },
});
const withTurnstile = `provider turnstile {
			site_key 0x4AAAAAAAtests
			secret_key ${secret}
			verify_url ${services.origin}/turnstile/siteverify
			script_url https://cdn.test:{https}/turnstile.js
		}
		challenge {
			title "Example Shop"
			contact help@shop.test
		}`;
const w = await world(`
${site('turnstile.test', withTurnstile)}
${site('fallback.test', withTurnstile + `
		failover {
			widget_blocked fallback
		}`)}
${site('cap.test', `provider cap {
			site_key capkey
			secret_key ${secret}
			verify_url ${services.origin}/cap/capkey/siteverify
			script_url https://cdn.test:{https}/cap.js
		}`)}
${site('trustcaptcha.test', `provider trustcaptcha {
			site_key 11111111-2222-4333-8444-555555555555
			api_key ${secret}
			api_url ${services.origin}/trustcaptcha
			script_url https://cdn.test:{https}/trustcaptcha.js
		}`)}
${site('altcha.test', `provider altcha {
			hmac_key a-key-of-the-tests-that-is-long-enough
			script_url https://cdn.test:{https}/altcha.js
		}`)}
https://cdn.test:{https} {
	tls internal
	reverse_proxy ${services.address}
}`, {pages: {'/form': form}});

const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const looks = {
  light: {},
  dark: {colorScheme: 'dark'},
  arabic: {locale: 'ar'},
  phone: {viewport: {width: 320, height: 640}, isMobile: true, hasTouch: true},
};

// kinds of pages: host, what must be seen, and whether the script is blocked
const kinds = {
  widget: {host: 'turnstile.test', there: (page) => page.locator('#tick')},
  blocked: {host: 'turnstile.test', there: (page) => button(page), blocked: true},
  'blocked, with a fallback': {host: 'fallback.test', there: (page) => button(page), blocked: true},
  cap: {host: 'cap.test', there: (page) => page.locator('cap-widget')},
  trustcaptcha: {host: 'trustcaptcha.test', there: (page) => page.locator('trustcaptcha-component')},
  altcha: {host: 'altcha.test', there: (page) => page.locator('altcha-widget')},
};


for (const [name, {host, there, blocked}] of Object.entries(kinds)) {
  for (const [look, options] of Object.entries(looks)) {
    nodeTest(`${name}, ${look}`, {timeout: 60_000}, async (t) => {
      // a widget that starts by itself must not send the page away while it is looked at
      const unsent = () => { HTMLFormElement.prototype.submit = () => {}; };
      const page = await w.visitor(t, {...options, init: [unsent]});
      if (blocked) await page.route('https://cdn.test:*/**', (route) => route.abort('blockedbyclient'));
      await send(w, page, host);
      await there(page).waitFor();
      if (!blocked) await page.waitForFunction((key) => document.getElementById('captcha-status').textContent === key,
        await page.evaluate(() => JSON.parse(document.getElementById('captcha-data').textContent).text['widget-ready']));
      if (process.env.SCREENSHOTS) await page.screenshot({path: join(process.env.SCREENSHOTS, `${name}-${look}.png`), fullPage: true});
      await page.evaluate(axe.source);
      const {violations, incomplete} = await page.evaluate((values) => window.axe.run(document, {runOnly: {type: 'tag', values}}), tags);
      // what is in a provider's widget is the provider's
      const ours = (v) => v.nodes.filter((n) => name === 'widget' || ![...n.target].flat().some((s) => /widget|component|altcha/.test(s)));
      assert.deepEqual(violations.filter((v) => ours(v).length).map((v) => `${v.id}: ${v.help}: ${ours(v).map((n) => n.html).join(' ')}`), []);
      const theirs = violations.filter((v) => !ours(v).length).map((v) => v.id);
      if (theirs.length) t.diagnostic(`in the widget: ${theirs}`);
      if (incomplete.length) t.diagnostic(`for people to judge: ${incomplete.map((i) => i.id)}`);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'scrolls sideways');
      assert.equal(await page.locator('h1').count(), 1);
      if (!blocked) return;
      assert.equal(await status(page).getAttribute('role'), 'status');
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'captcha-button');
      if (look === 'phone') assert.ok((await button(page).boundingBox()).height >= 24);
    });
  }
}
