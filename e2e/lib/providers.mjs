// Providers on this machine: real servers where npm has them, and fakes that are
// true to the wire facts and strict about what they get. All speak plain http on
// 127.0.0.1, which browsers let https pages use.
import {createHash, randomBytes, randomUUID} from 'node:crypto';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:http';
import assert from 'node:assert/strict';
import {after} from 'node:test';
import {received} from './browser.mjs';
import {html, PATIENCE} from './upstream.mjs';

// startProviders serves providers under /<name>/ and files by their whole path.
// A provider is a function of a request {method, path, query, headers, body}
// that returns {status, headers, body}, an object to send as JSON, or null to
// break the connection off.
export async function startProviders({providers = {}, files = {}} = {}) {
  const calls = []; // what came, by provider
  const faults = []; // what must not have come
  const server = createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const url = new URL(req.url, 'http://x');
    const [, name] = url.pathname.split('/');
    const request = {
      method: req.method, path: url.pathname.slice(name.length + 1), query: url.searchParams, headers: req.headers,
      body: Buffer.concat(chunks).toString(), host: req.headers.host,
    };
    // what a browser fetches from another origin
    res.setHeader('Access-Control-Allow-Origin', '*');
    res.setHeader('Access-Control-Allow-Headers', 'content-type');
    if (files[url.pathname]) {
      res.writeHead(200, {'Content-Type': 'text/javascript; charset=utf-8'}).end(files[url.pathname]);
      return;
    }
    if (!providers[name]) return void res.writeHead(404).end();
    if (req.method === 'OPTIONS') return void res.writeHead(204).end();
    calls.push({provider: name, ...request});
    server.emit('called');
    let answer;
    try {
      answer = await providers[name](request);
    } catch (error) {
      faults.push(`${name}: ${req.method} ${req.url}: ${error.message}`);
      answer = {status: 400, body: error.message};
    }
    if (answer === null) return void req.socket.destroy();
    if (typeof answer.body !== 'string') answer = {status: answer.status ?? 200, headers: {'Content-Type': 'application/json'}, body: JSON.stringify(answer.json ?? answer)};
    res.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  const {port} = server.address();
  return {
    origin: `http://127.0.0.1:${port}`,
    address: `127.0.0.1:${port}`,
    calls, faults,
    to: (provider, path) => calls.filter((c) => c.provider === provider && (!path || c.path.includes(path))),
    reset() { calls.length = faults.length = 0; },
  };
}

// npm is a file of an installed package.
export const npm = (path) => readFileSync(new URL('../node_modules/' + path, import.meta.url));

// until waits for something to become true.
export async function until(what, condition) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${PATIENCE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// The form that every test sends, and what must arrive of it.
export const form = html('<form method="post" action="/send?a=1"><textarea name="text">grüße, "you"</textarea><input name="tick" value="1"><button>Send</button></form>');
export const carried = 'text=gr%C3%BC%C3%9Fe%2C+%22you%22&tick=1';

// site is a site block with a captcha.
export const site = (host, block) => `
https://${host}:{https} {
	tls internal
	captcha /send* {
		${block.trim()}
	}
	reverse_proxy {app}
}`;

// posted waits for the answer to a page's next post.
export const posted = (page) => page.waitForResponse((r) => r.request().isNavigationRequest() && r.request().method() === 'POST');

// send brings a page to the challenge page of a host, which may already be gone
// when this returns.
export async function send(w, page, host) {
  await page.goto(w.https(host, '/form'));
  const [answer] = await Promise.all([posted(page), page.click('button', {noWaitAfter: true})]);
  assert.equal(answer.status(), 403);
}

// arrives checks that the form, and nothing else, came to the app as it was sent.
export async function arrives(w, page, host, {status = 'passed', provider} = {}) {
  await received(page);
  const seen = await w.app.one();
  assert.equal(seen.body.toString(), carried);
  assert.equal(seen.url, '/send?a=1');
  assert.equal(seen.headers['content-type'], 'application/x-www-form-urlencoded');
  assert.equal(seen.headers.origin, w.https(host));
  assert.equal(seen.headers.referer, w.https(host, '/form'));
  assert.equal(seen.headers['x-captcha-status'], status);
  if (provider) assert.equal(seen.headers['x-captcha-provider'], provider);
  return seen;
}

// navigate is a browser's post of a form, without a browser.
export const navigate = (w, host, body = carried) => w.request(w.https(host, '/send?a=1'), {
  method: 'POST', body,
  headers: {
    'Content-Type': 'application/x-www-form-urlencoded', Accept: 'text/html', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Site': 'same-origin',
    Origin: w.https(host), Referer: w.https(host, '/form'),
  },
});

// script is a script's post: the answer is problem+json.
export const script = (w, host, headers = {}, body = carried) => w.request(w.https(host, '/send?a=1'), {
  method: 'POST', body, headers: {'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json', ...headers},
});

const zeroBits = (hash) => {
  let bits = 0;
  for (const byte of hash) {
    if (byte) return bits + Math.clz32(byte) - 24;
    bits += 8;
  }
  return bits;
};

// passed is the result of a verification that TrustCaptcha passes.
const passed = (id, members) => ({
  captchaId: randomUUID(), verificationId: id, verificationPassed: true, score: 0.1, riskScoringEnabled: true, decisionType: 'SCORE',
  decisionAction: 'ALLOW', gatewayFailoverActive: false, ...members,
});

// finished is the end of a verification, with the token that the widget submits.
const finished = (id) => ({
  finished: {
    verificationToken: Buffer.from(JSON.stringify({verificationId: id, expiresAt: new Date(Date.now() + 9e5).toISOString()})).toString('base64'),
    expiresInMs: 900_000,
  },
});

// trustcaptcha is a gateway of TrustCaptcha 3.x: the widget's side with a proof
// of work, and the results that servers ask for.
export function trustcaptcha({siteKey, apiKey, rounds = 1, difficulty = 8}) {
  const known = new Map(); // verification id -> {challenge, round, reads}
  const gateway = {
    down: false,
    rounds,
    failover: undefined, // what is answered about a client-failover token
    result: {}, // members of the results to change
    solved: 0, // tasks whose proof was good
    finished,
    handle(r) {
      if (gateway.down) return null;
      const [, id, what] = r.path.match(/^\/v2\/verifications(?:\/([0-9a-f-]{36})\/(challenges|results))?$/) ?? assert.fail('an unknown path');
      if (what === 'results') return gateway.results(r, id);
      assert.equal(r.method, 'POST');
      assert.match(r.headers['content-type'], /^application\/json/);
      assert.equal(r.headers.referer, undefined);
      const body = JSON.parse(r.body);
      if (!what) {
        assert.equal(body.siteKey, siteKey);
        assert.ok(body.metadata && body.browserInformation && body.fingerprints && body.integrityHash);
        return gateway.next(randomUUID(), 0, 201);
      }
      const {challenge, round} = known.get(id) ?? assert.fail('an unknown verification');
      if (body.tasks.length !== challenge.tasks.length) return {status: 409, json: {error: 'POW_FAILURE'}};
      for (const {number, input} of challenge.tasks) {
        const {nonce} = body.tasks.find((t) => t.number === number) ?? assert.fail('a task without a nonce');
        assert.ok(nonce.length <= 32);
        const hash = createHash('sha256').update(Buffer.from(input, 'base64')).update(nonce).digest();
        if (zeroBits(hash) < challenge.difficulty) return {status: 409, json: {error: 'POW_FAILURE'}};
        gateway.solved++;
      }
      return gateway.next(id, round + 1, 201);
    },
    next(id, round, status) {
      if (round >= gateway.rounds) {
        known.set(id, {reads: 0});
        return {status, json: gateway.finished(id)};
      }
      const challenge = {verificationId: id, difficulty, tasks: [0, 1, 2, 3].map((number) => ({number, input: randomBytes(24).toString('base64')}))};
      known.set(id, {challenge, round});
      return {status: 200, json: {challenge}};
    },
    results(r, id) {
      assert.equal(r.method, 'GET');
      if (r.headers.authorization !== `Bearer ${apiKey}`) return {status: 403, json: {}};
      if (r.query.get('clientFailover') === 'true') return gateway.failover === 412 ? {status: 412, json: {}} : {json: passed(id, gateway.failover)};
      assert.equal(r.query.size, 0);
      const verification = known.get(id);
      if (!verification) return {status: 404, json: {}};
      if (verification.challenge) return {status: 423, json: {}};
      if (verification.reads++) return {status: 429, json: {}};
      return {json: passed(id, gateway.result)};
    },
  };
  return gateway;
}

// turnstile is siteverify of Turnstile. Its tokens are those of turnstileWidget.
export function turnstile({secret, hostname}) {
  const spent = new Set();
  const service = {
    down: false,
    handle(r) {
      if (service.down) return null;
      assert.equal(r.method, 'POST');
      assert.equal(r.path, '/siteverify');
      const form = r.headers['content-type'] === 'application/json' ? JSON.parse(r.body) : Object.fromEntries(new URLSearchParams(r.body));
      for (const name of Object.keys(form)) assert.ok(['secret', 'response', 'idempotency_key'].includes(name), `an unknown parameter ${name}`);
      const no = (code) => ({success: false, 'error-codes': [code]});
      if (form.secret !== secret) return no('invalid-input-secret');
      if (!/^0\.[0-9a-f]{32}$/.test(form.response)) return no('invalid-input-response');
      if (spent.has(form.response)) return no('timeout-or-duplicate');
      spent.add(form.response);
      return {success: true, 'error-codes': [], challenge_ts: new Date().toISOString(), hostname, action: '', cdata: ''};
    },
  };
  return service;
}

// turnstileToken is one that turnstile passes, once.
export const turnstileToken = () => '0.' + randomBytes(16).toString('hex');

// turnstileWidget is a stand-in for api.js: a box to tick, and the hidden input
// that is filled when it is.
export const turnstileWidget = `
for (const place of document.querySelectorAll('.cf-turnstile')) {
  const input = Object.assign(document.createElement('input'), {type: 'hidden', name: 'cf-turnstile-response'});
  const box = Object.assign(document.createElement('button'), {type: 'button', id: 'tick', textContent: 'I am human'});
  box.onclick = () => {
    input.value = '0.' + [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
  };
  place.append(box, input);
}`;

// prosopo is siteverify of Prosopo, with tokens of procaptchaBundle.
export function prosopo({secret}) {
  const spent = new Set();
  return (r) => {
    assert.equal(`${r.method} ${r.path}`, 'POST /siteverify');
    const {token, secret: given, ...more} = JSON.parse(r.body);
    assert.deepEqual(more, {});
    const verified = given === secret && /^0x0000[0-9a-f]+$/.test(token) && !spent.has(token);
    spent.add(token);
    return {json: {verified}};
  };
}

// procaptchaBundle is a stand-in for procaptcha.bundle.js with its interface: it
// fills its places when it is loaded, and does nothing when it is loaded again.
export const procaptchaBundle = `
if (!window.procaptcha) {
  const render = async (place, {siteKey}) => {
    await null; // the real one loads more of itself
    const box = Object.assign(document.createElement('input'), {type: 'checkbox', ariaLabel: siteKey, onchange() {
      // two absent texts, the length of the site key, the site key; all else is not looked at here
      const bytes = [0, 0, siteKey.length << 2, ...new TextEncoder().encode(siteKey), ...crypto.getRandomValues(new Uint8Array(16))];
      const value = '0x' + bytes.map((b) => b.toString(16).padStart(2, '0')).join('');
      place.closest('form').append(Object.assign(document.createElement('input'), {type: 'hidden', name: 'procaptcha-response', value}));
    }});
    place.append(box);
  };
  window.procaptcha = {render};
  for (const place of document.getElementsByClassName('procaptcha')) render(place, {siteKey: place.dataset.sitekey});
}`;

const md5 = (text) => createHash('md5').update(text).digest('hex');

// geetest is the API of GeeTest v3, with the status API that the bypass guide asks.
export function geetest({id, key}) {
  const open = new Map(); // the page's challenge -> validate, once solved
  const service = {
    status: 'success',
    handle(r) {
      const q = r.query;
      const jsonp = (data) => {
        assert.match(q.get('callback'), /^geetest_\d+$/);
        return {headers: {'Content-Type': 'text/javascript'}, body: `${q.get('callback')}(${JSON.stringify(data)})`};
      };
      switch (`${r.method} ${r.path}`) {
        case 'GET /v1/bypass_status.php':
          assert.equal(q.get('gt'), id);
          return {json: {status: service.status}};
        case 'GET /register.php': {
          assert.equal(q.get('json_format'), '1');
          assert.equal(q.get('digestmod'), 'md5');
          if (q.get('gt') !== id) return {json: {challenge: '0'}};
          const challenge = randomBytes(16).toString('hex');
          open.set(md5(challenge + key), null);
          return {json: {challenge}};
        }
        case 'GET /gettype.php':
          assert.equal(q.get('gt'), id);
          return jsonp({status: 'success', data: {type: 'slide'}});
        case 'GET /ajax.php': {
          if (!open.has(q.get('challenge'))) return jsonp({success: 0});
          open.set(q.get('challenge'), randomBytes(16).toString('hex'));
          return jsonp({success: 1, validate: open.get(q.get('challenge'))});
        }
        case 'POST /validate.php': {
          const form = Object.fromEntries(new URLSearchParams(r.body));
          assert.deepEqual(Object.keys(form).sort(), ['captchaid', 'challenge', 'json_format', 'sdk', 'seccode']);
          assert.equal(form.captchaid, id);
          const validate = open.get(form.challenge.slice(0, 32));
          open.delete(form.challenge.slice(0, 32));
          return {json: {seccode: validate && form.seccode === `${validate}|jordan` ? md5(form.seccode) : 'false'}};
        }
        default:
          assert.fail('an unknown path');
      }
    },
  };
  return service;
}

// geetestLoader is a stand-in for gt.js with its interface and its calls. Like the
// real one of 2020 it answers by itself where the API cannot be reached.
export const geetestLoader = `
(() => {
  let calls = 0;
  const jsonp = (url, answer, fail) => {
    const name = 'geetest_' + Date.now() + calls++;
    window[name] = (data) => { delete window[name]; answer(data); };
    document.head.append(Object.assign(document.createElement('script'), {src: url + '&callback=' + name, onerror: fail}));
  };
  window.initGeetest = (config, ready) => {
    const api = config.protocol + (config.api_server || 'api.geetest.com');
    const names = ['geetest_challenge', 'geetest_validate', 'geetest_seccode'];
    const done = [];
    let token;
    const begin = (offline) => {
      const show = (challenge, validate) => {
        token = {geetest_challenge: challenge, geetest_validate: validate, geetest_seccode: validate + '|jordan'};
        for (const name of names) document.getElementsByName(name)[0].value = token[name];
        done.forEach((f) => f());
      };
      const verify = () => offline ? show(config.challenge, config.challenge) : jsonp(api + '/ajax.php?gt=' + config.gt + '&challenge=' + config.challenge,
        ({validate}) => show(config.challenge + 'k9', validate), () => show(config.challenge, config.challenge)); // the slide widget appends two characters
      ready({
        onReady: () => {}, onError: () => {}, onClose: () => {}, onSuccess: (f) => done.push(f), getValidate: () => token,
        appendTo: (place) => {
          const radar = Object.assign(document.createElement('button'), {type: 'button', className: 'geetest_radar_tip', textContent: 'Click to verify', onclick: verify});
          const inputs = names.map((name) => Object.assign(document.createElement('input'), {type: 'hidden', name}));
          document.querySelector(place).append(radar, ...inputs);
        },
      });
    };
    if (config.offline) begin(true);
    else jsonp(api + '/gettype.php?gt=' + config.gt, ({status}) => begin(status !== 'success'), () => begin(true));
  };
})();`;
