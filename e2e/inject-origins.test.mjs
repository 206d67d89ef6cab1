// captcha_inject: what a page's scripts send to another origin stays between the two.
import assert from 'node:assert/strict';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const cors = {'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Headers': '*', 'Access-Control-Expose-Headers': '*'};
const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /send* {
		provider pow {
			difficulty 1000
		}
	}
	captcha_inject
	reverse_proxy {app}
}
https://other.test:{https} {
	tls internal
	reverse_proxy {app}
}`, {pages: {'/page': html('<p>a page</p>')}});

const ask = {method: 'POST', headers: {'Captcha-Request': 'challenge'}};
const refusal = `{"reason":"token-missing","captcha":${(await w.request(w.https('site.test', '/send'), ask)).text}}`;

async function at(t) {
  w.app.reset();
  const page = await w.visitor(t);
  await page.goto(w.https('site.test', '/page'));
  return page;
}

// post sends a POST in one of two ways and returns the status.
const post = {
  fetch: (page, url) => page.evaluate((url) => fetch(url, {method: 'POST', body: 'a'}).then((r) => r.status), url),
  XMLHttpRequest: (page, url) => page.evaluate((url) => new Promise((done) => {
    const x = new XMLHttpRequest();
    x.open('POST', url);
    x.onloadend = () => done(x.status);
    x.send('a');
  }), url),
};

for (const [how, send] of Object.entries(post)) {
  test(`${how}: a refusal at the end of a redirect through another origin: that one gets no token`, async (t) => {
    const page = await at(t);
    w.app.pages['/away'] = (seen, res) => res.writeHead(seen.method === 'OPTIONS' ? 204 : 307, {...cors, Location: w.https('site.test', '/refused')}).end();
    w.app.pages['/refused'] = (seen, res) => res.writeHead(403, {...cors, 'Content-Type': 'application/problem+json', 'Captcha-Required': 'pow'}).end(refusal);
    assert.equal(await send(page, w.https('other.test', '/away')), 403);
    assert.deepEqual(w.app.seen.filter(({method}) => method !== 'GET').map(({method, url}) => `${method} ${url}`), ['POST /away', 'POST /refused']);
    assert.equal(await send(page, w.https('site.test', '/send')), 200); // as ever
  });

  test(`${how}: another origin's answers are read in silence`, async (t) => {
    const page = await at(t);
    for (const [status, type] of [[200, 'text/plain'], [403, 'text/plain'], [403, 'application/problem+json'], [413, 'application/problem+json']]) {
      w.app.pages['/else'] = (seen, res) => res.writeHead(status, {'Access-Control-Allow-Origin': '*', 'Content-Type': type, 'Captcha-Required': 'hidden'}).end('{}');
      assert.equal(await send(page, w.https('other.test', '/else')), status);
    }
    assert.equal(w.app.posts.length, 4);
    assert.deepEqual(page.faults, []);
  });
}
