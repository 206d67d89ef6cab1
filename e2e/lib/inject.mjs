// What the tests of captcha_inject share.
import assert from 'node:assert/strict';
import {received} from './browser.mjs';
import {html} from './upstream.mjs';

// injected is a site of the Caddyfile whose forms to a path get their token from a
// provider (its name, with a block), with other options of captcha.
export const injected = (hosts, {path = '/send*', provider = pow(1000), options = ''} = {}) => `
${[hosts].flat().map((host) => `https://${host}:{https}`).join(', ')} {
	tls internal
	captcha ${path} {
		provider ${provider}
		${options}
	}
	captcha_inject
	reverse_proxy {app}
}`;
export const pow = (difficulty, more = '') => `pow {
			difficulty ${difficulty}
			${more}
		}`;

export const plain = '<form method="post" action="/send"><input name="text" value="hello"><button>Send</button></form>';

// visit opens a page of the app with this body. Its asked are the requests for a
// challenge, its challenged the number of challenge pages.
export async function visit(w, t, body, {head = '', headers = {}, host = 'site.test', ...options} = {}) {
  w.app.reset();
  w.app.pages['/form'] = (seen, res) => res.writeHead(200, {'Content-Type': 'text/html; charset=utf-8', ...headers}).end(html(body, head));
  const page = await w.visitor(t, options);
  page.asked = [];
  page.challenged = 0;
  page.on('request', (r) => { if (r.headers()['captcha-request']) page.asked.push(r); });
  page.on('response', (r) => { if (r.status() === 403 && r.request().isNavigationRequest()) page.challenged++; });
  await page.goto(w.https(host, '/form'));
  return page;
}

// ready waits until the page's first form has its token.
export const ready = (page, field = 'altcha') => page.waitForFunction((name) => document.querySelector(`[data-captcha-inject][name="${name}"]:enabled`)?.value, field);

// arrives checks that one form came with a token, first in its body, without a
// challenge page, and returns it.
export async function arrives(w, page, {field = 'altcha', provider = 'pow'} = {}) {
  await received(page);
  const seen = await w.app.one();
  assert.equal(page.challenged, 0, 'a challenge page was shown');
  assert.equal(seen.headers['x-captcha-status'], 'passed');
  assert.equal(seen.headers['x-captcha-provider'], provider);
  const start = seen.body.subarray(0, 200).toString();
  assert.ok(start.startsWith(field + '=') || /^------\w+\r\nContent-Disposition: form-data; name="([^"]+)"/.exec(start)?.[1] === field, start);
  assert.deepEqual(page.faults.filter((fault) => !page.harmless?.test(fault)), []);
  return seen;
}

// rest is an urlencoded body without its token.
export const rest = (seen, field = 'altcha') => seen.body.toString().replace(new RegExp(`^${field}=[^&]*&?`), '');
