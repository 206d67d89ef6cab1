// The page in the surroundings of real sites: their policies, compression, paths.
import assert from 'node:assert/strict';
import {button, card, hold, ready, received, release} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const pow = `{
		provider pow {
			difficulty 1000
		}
		max_replay 8KiB
	}`;
const strict = "default-src 'self'; script-src 'self'; style-src 'self'; worker-src 'none'; form-action 'self'; require-trusted-types-for 'script'; sandbox allow-forms allow-scripts allow-same-origin";
const w = await world(`
https://csp.test:{https} {
	tls internal
	header Content-Security-Policy "default-src 'self'"
	captcha /send* ${pow}
	reverse_proxy {app}
}
https://deferred.test:{https} {
	tls internal
	header >Content-Security-Policy "default-src 'self'"
	captcha /send* ${pow}
	reverse_proxy {app}
}
https://deleting.test:{https} {
	tls internal
	header {
		-Server
		Content-Security-Policy "default-src 'self'"
	}
	captcha /send* ${pow}
	reverse_proxy {app}
}
https://strict.test:{https} {
	tls internal
	header {
		Content-Security-Policy "${strict}"
		Content-Security-Policy-Report-Only "default-src 'none'"
		Cross-Origin-Embedder-Policy require-corp
		Permissions-Policy "camera=()"
		Referrer-Policy no-referrer
		X-Content-Type-Options nosniff
	}
	captcha /send* ${pow}
	reverse_proxy {app}
}
https://gzip.test:{https} {
	tls internal
	encode gzip zstd
	captcha /send* ${pow}
	reverse_proxy {app}
}
https://path.test:{https} {
	tls internal
	handle_path /shop/* {
		captcha /send* ${pow}
		reverse_proxy {app}
	}
	reverse_proxy {app}
}
https://front.test:{https} {
	tls internal
	handle_path /front/* {
		reverse_proxy 127.0.0.1:{http}
	}
	reverse_proxy {app}
}
http://:{http} {
	captcha /send* ${pow}
	reverse_proxy {app}
}`, {pages: {'/form': html('<form method="post" action="send?a=1&amp;b=%2F"><textarea name="text">grüße</textarea><button>Send</button></form>')}});

const body = 'text=gr%C3%BC%C3%9Fe';

// post submits the form of a page, and returns what the page then fetched.
async function post(t, url, {init = []} = {}) {
  w.app.reset();
  const page = await w.visitor(t, {init});
  await page.goto(url);
  page.fetched = [];
  page.on('request', (r) => page.fetched.push(`${r.method()} ${r.url()}`));
  await page.click('button', {noWaitAfter: true});
  return page;
}

const cases = {
  "the site's own policy": ['csp.test', '', '/send?a=1&b=%2F'],
  'compression in front': ['gzip.test', '', '/send?a=1&b=%2F'],
  'handle_path': ['path.test', '/shop', '/send?a=1&b=%2F'],
  'a front proxy that strips a prefix': ['front.test', '/front', '/send?a=1&b=%2F'],
};
for (const [name, [host, prefix, arrives]] of Object.entries(cases)) {
  test(`${name}: the form arrives`, async (t) => {
    const page = await post(t, w.https(host, prefix + '/form'));
    await received(page);
    const seen = await w.app.one();
    assert.equal(seen.url, arrives);
    assert.equal(seen.body.toString(), body);
    assert.equal(seen.headers.origin, w.https(host));
    assert.equal(page.url(), w.https(host, prefix + '/send?a=1&b=%2F'));
    assert.deepEqual(page.faults, []);
    // nothing but its own URL, and what it makes itself
    assert.deepEqual(page.fetched.filter((r) => !/^GET (blob|data):/.test(r)), Array(2).fill(`POST ${page.url()}`));
  });

  test(`${name}: too large to be carried, redeemed, and sent again`, async (t) => {
    w.app.reset();
    const page = await w.visitor(t);
    await page.goto(w.https(host, prefix + '/form'));
    await page.fill('textarea', 'x'.repeat(10_000));
    await page.click('button');
    await card(page).waitFor();
    await ready(page);
    await button(page).click();
    await page.waitForFunction(() => document.querySelector('textarea')?.value.length === 10_000);
    await page.click('button');
    await received(page);
    assert.equal((await w.app.one()).headers['x-captcha-status'], 'cleared');
  });
}

test('the page looks as it should behind compression and policies', async (t) => {
  for (const host of ['csp.test', 'gzip.test', 'strict.test']) {
    const page = await post(t, w.https(host, '/form'), {init: [hold]});
    await card(page).waitFor();
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.querySelector('.card')).borderRadius), '0px', host);
    const answer = await page.evaluate(() => performance.getEntriesByType('resource').map((e) => e.name));
    assert.deepEqual(answer.filter((url) => !/^(blob|data):/.test(url)), []);
    await release(page);
    await received(page);
    await w.app.one();
    assert.deepEqual(page.faults, [], host);
  }
});

for (const [host, how] of [['deferred.test', 'with >'], ['deleting.test', 'in a block that also deletes a header']]) {
  test(`the site's own policy, set late: header ${how}`, async (t) => {
    const page = await post(t, w.https(host, '/form'), {init: [hold]});
    await card(page).waitFor();
    assert.equal(await page.locator('#captcha-live').isVisible(), true, `the page does not run: ${page.faults[0]}`);
    await release(page);
    await received(page);
    await w.app.one();
  });
}

test('D-80 D-81 the headers of the page', async () => {
  const {status, headers, text} = await w.request(w.https('strict.test', '/send'), {
    method: 'POST', body: 'a=b',
    headers: {'Content-Type': 'application/x-www-form-urlencoded', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Site': 'same-origin', Origin: w.https('strict.test')},
  });
  assert.equal(status, 403);
  const csp = headers['content-security-policy'];
  assert.match(csp, /^default-src 'none'; script-src 'nonce-[\w-]+'/);
  assert.match(csp, /frame-ancestors 'none'/);
  assert.match(csp, /base-uri 'none'/);
  assert.doesNotMatch(csp, /unsafe/);
  assert.equal(headers['content-security-policy-report-only'], undefined);
  assert.deepEqual(['x-frame-options', 'cross-origin-opener-policy', 'referrer-policy', 'cache-control', 'captcha-required'].map((n) => headers[n]),
    ['DENY', 'same-origin', 'same-origin', 'no-store', 'pow']);
  assert.doesNotMatch(text, /(src|href|action)="(?!data:,)/);
});
