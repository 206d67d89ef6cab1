// Clients that are scripts: problem documents, puzzles, CORS.
import assert from 'node:assert/strict';
import {html} from './lib/upstream.mjs';
import {solve} from './lib/token.mjs';
import {test, world} from './lib/world.mjs';

// api is the app as an API that itself allows app.test and other.test.
const api = (seen, res) => {
  const {origin} = seen.headers;
  const headers = {'Content-Type': 'application/json'};
  if (origin) {
    Object.assign(headers, {'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Credentials': 'true', Vary: 'Origin'});
    if (seen.method === 'OPTIONS') Object.assign(headers, {'Access-Control-Allow-Headers': 'Content-Type', 'Access-Control-Allow-Methods': 'POST, PUT'});
  }
  res.writeHead(seen.method === 'OPTIONS' ? 204 : 200, headers).end(seen.method === 'OPTIONS' ? '' : '{"ok":true}');
};

const w = await world(`
https://api.test:{https} {
	tls internal
	captcha /v1/* {
		provider pow {
			difficulty 1000
		}
		cors https://app.test:{https}
	}
	reverse_proxy {app}
}
https://app.test:{https}, https://other.test:{https} {
	tls internal
	reverse_proxy {app}
}`, {pages: {'/page': html('a page'), '/v1/comments': api, '/page-of-api': html('a page')}});
const url = w.https('api.test', '/v1/comments');

// In the page: call posts and tells what a script can see of the answer.
const tools = () => {
  window.call = async (url, {headers = {}, body = '{"text":"hello"}', method = 'POST', type = 'application/json'} = {}) => {
    try {
      const r = await fetch(url, {method, credentials: 'include', headers: {...type && {'Content-Type': type}, ...headers}, body});
      const text = await r.text();
      return {
        status: r.status, type: r.headers.get('Content-Type'), required: r.headers.get('Captcha-Required'),
        store: r.headers.get('Cache-Control'), json: JSON.parse(text),
      };
    } catch (error) {
      return {error: error.name};
    }
  };
  window.solve = async ({algorithm, challenge, maxnumber, salt, signature}) => {
    for (let number = 0; number <= maxnumber; number++) {
      const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(salt + number)));
      if (Array.from(sum, (b) => b.toString(16).padStart(2, '0')).join('') === challenge) {
        return btoa(JSON.stringify({algorithm, challenge, number, salt, signature}));
      }
    }
  };
};

async function at(t, host) {
  w.app.reset();
  const page = await w.visitor(t, {init: [tools]});
  await page.goto(w.https(host, host === 'api.test' ? '/page-of-api' : '/page'));
  return page;
}

test('fetch: a problem document, solved, and sent again with the token', async (t) => {
  const page = await at(t, 'api.test');
  const first = await page.evaluate((url) => call(url), url);
  assert.equal(first.status, 403);
  assert.equal(first.type, 'application/problem+json');
  assert.equal(first.required, 'pow');
  assert.equal(first.store, 'no-store');
  const {reason, captcha, status, reference} = first.json;
  assert.deepEqual([reason, status, captcha.provider, captcha.fields], ['token-missing', 403, 'pow', ['altcha']]);
  assert.ok(reference);
  assert.deepEqual(w.app.posts, []);

  const second = await page.evaluate(async ([url, challenge]) => call(url, {headers: {'Captcha-Token': await solve(challenge)}}), [url, captcha.challenge]);
  assert.deepEqual([second.status, second.json], [200, {ok: true}]);
  const seen = await w.app.one();
  assert.equal(seen.body.toString(), '{"text":"hello"}');
  assert.equal(seen.headers['x-captcha-status'], 'passed');
});

test('the token in the JSON, in FormData, and with XMLHttpRequest', async (t) => {
  const page = await at(t, 'api.test');
  const results = await page.evaluate(async (url) => {
    const token = async () => solve((await call(url, {headers: {'Captcha-Request': 'challenge'}, body: null, type: null})).json.challenge);
    const form = new FormData();
    form.append('file', new Blob(['\0\r\n']), 'ü.bin');
    form.append('altcha', await token());
    const xhr = new XMLHttpRequest();
    xhr.open('PUT', url);
    xhr.setRequestHeader('Content-Type', 'application/octet-stream');
    xhr.setRequestHeader('Captcha-Token', await token());
    const sent = new Promise((done) => { xhr.onloadend = () => done(xhr.status); });
    xhr.send(new Uint8Array([0, 255, 13, 10]));
    return [
      (await call(url, {body: JSON.stringify({text: 'x', altcha: await token()})})).status,
      (await call(url, {body: form, type: null})).status,
      await sent,
    ];
  }, url);
  assert.deepEqual(results, [200, 200, 200]);
  assert.equal((await w.app.arrivals(3)).length, 3);
  assert.ok(w.app.posts.some((p) => p.method === 'PUT' && p.body.equals(Buffer.from([0, 255, 13, 10]))));
});

test('a token counts once', async (t) => {
  const page = await at(t, 'api.test');
  const [first, second] = await page.evaluate(async (url) => {
    const {json} = await call(url);
    const headers = {'Captcha-Token': await solve(json.captcha.challenge)};
    return [await call(url, {headers}), await call(url, {headers})];
  }, url);
  assert.equal(first.status, 200);
  assert.deepEqual([second.status, second.json.reason], [403, 'token-duplicate']);
  assert.ok(second.json.captcha.challenge.salt);
  await w.app.one();
});

test('CORS: an allowed origin reads the problem, the puzzle, and gets through', async (t) => {
  const page = await at(t, 'app.test');
  const [refused, puzzle, passed] = await page.evaluate(async (url) => {
    const refused = await call(url);
    const puzzle = await call(url, {headers: {'Captcha-Request': 'challenge'}, body: null, type: null});
    const passed = await call(url, {headers: {'Captcha-Token': await solve(puzzle.json.challenge)}});
    return [refused, puzzle, passed];
  }, url);
  assert.deepEqual([refused.status, refused.required, refused.json.reason], [403, 'pow', 'token-missing']);
  assert.deepEqual([puzzle.status, puzzle.type, puzzle.json.provider], [200, 'application/json', 'pow']);
  assert.deepEqual([passed.status, passed.json], [200, {ok: true}]);
  const seen = await w.app.one();
  assert.equal(seen.headers.origin, w.https('app.test'));
});

test('CORS: another origin, which the app itself allows, reads nothing of ours', async (t) => {
  const {text} = await w.request(url, {method: 'POST', headers: {'Captcha-Request': 'challenge'}});
  const token = solve(JSON.parse(text).challenge);
  const page = await at(t, 'other.test');
  const blocked = {error: 'TypeError'};
  const results = await page.evaluate(async ([url, token]) => [
    await call(url),
    await call(url, {headers: {'Captcha-Request': 'challenge'}, body: null, type: null}),
    await call(url, {headers: {'Captcha-Token': token}}),
    await call(url, {type: 'text/plain'}),
  ], [url, token]);
  assert.deepEqual(results, [blocked, blocked, blocked, blocked]);
  assert.deepEqual(w.app.posts, []);
  // but what the app answers is the app's: with the token where no preflight is needed
  const own = await page.evaluate(async ([url, token]) => call(url, {type: 'application/x-www-form-urlencoded', body: new URLSearchParams({altcha: token})}), [url, token]);
  assert.equal(own.status, 200);
});

test('CORS headers on the wire', async () => {
  const preflight = (origin) => w.request(url, {
    method: 'OPTIONS',
    headers: {Origin: origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'captcha-token'},
  });
  const granted = (await preflight(w.https('app.test'))).headers;
  assert.equal(granted['access-control-allow-headers'], 'Content-Type, Captcha-Token, Captcha-Request');
  for (const origin of [w.https('other.test'), 'null', 'https://app.test', 'http://app.test:' + w.ports.https, w.https('app.test') + '.evil.test']) {
    assert.equal((await preflight(origin)).headers['access-control-allow-headers'], 'Content-Type', origin);
    const {status, headers} = await w.request(url, {method: 'POST', headers: {Origin: origin}});
    assert.equal(status, 403);
    assert.equal(headers['access-control-allow-origin'], undefined, origin);
    assert.match(headers.vary, /Origin/);
  }
  const {headers} = await w.request(url, {method: 'POST', headers: {Origin: w.https('app.test')}});
  assert.equal(headers['access-control-allow-origin'], w.https('app.test'));
  assert.equal(headers['access-control-expose-headers'], 'Captcha-Required, Retry-After');
});
