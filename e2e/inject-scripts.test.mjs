// captcha_inject: what a page's scripts post with fetch and XMLHttpRequest gets through.
import assert from 'node:assert/strict';
import {hold, release} from './lib/browser.mjs';
import {injected} from './lib/inject.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const answer = (seen, res) => res.writeHead(seen.headers['x-fail'] ? 422 : 200, {'Content-Type': 'application/json'}).end('{"ok":true}');
const w = await world(injected('site.test'), {pages: {'/page': html('<form method="post" action="/send"><input name="text" value="hello"><button>Send</button></form>'), '/send': answer, '/open': answer}});

const puzzle = (await w.request(w.https('site.test', '/send'), {method: 'POST', headers: {'Captcha-Request': 'challenge'}})).text;

async function at(t, options) {
  w.app.reset();
  const page = await w.visitor(t, options);
  page.sent = [];
  page.on('request', (r) => { if (r.url().includes('/send')) page.sent.push(r); });
  await page.goto(w.https('site.test', '/page'));
  return page;
}

const bodies = {
  string: {make: '"a=1"', type: 'text/plain;charset=UTF-8', want: 'a=1'},
  JSON: {make: 'JSON.stringify({a: "ü"})', headers: {'Content-Type': 'application/json', 'X-Own': '1'}, type: 'application/json', want: '{"a":"ü"}'},
  URLSearchParams: {make: 'new URLSearchParams({a: "1 2"})', type: 'application/x-www-form-urlencoded;charset=UTF-8', want: 'a=1+2'},
  FormData: {make: '(() => { const f = new FormData(); f.append("a", "1"); f.append("f", new Blob(["\\0\\r\\n"]), "ü.bin"); return f; })()', type: /^multipart\/form-data; boundary=/, want: /name="a"\r\n\r\n1\r\n.*filename="ü\.bin"\r\nContent-Type: application\/octet-stream\r\n\r\n\0\r\n\r\n/s},
  Blob: {make: 'new Blob(["\\0\\xff"], {type: "x/y"})', type: 'x/y', want: '\0ÿ'},
  ArrayBuffer: {make: 'new Uint8Array([1, 2, 3]).buffer', type: undefined, want: '\x01\x02\x03'},
  'a view': {make: 'new Uint8Array([0, 1, 2, 3]).subarray(1)', type: undefined, want: '\x01\x02\x03'},
  'no body': {make: 'undefined', type: undefined, want: ''},
};

async function arrived({make, type, want, headers}, method) {
  const seen = await w.app.one();
  assert.equal(seen.method, method);
  assert.equal(seen.headers['x-captcha-status'], 'passed', make);
  if (type instanceof RegExp) assert.match(seen.headers['content-type'], type);
  else assert.equal(seen.headers['content-type'], type);
  if (want instanceof RegExp) assert.match(seen.body.toString(), want);
  else assert.equal(seen.body.toString(), want);
  if (headers) assert.equal(seen.headers['x-own'], '1');
}

for (const [name, body] of Object.entries(bodies)) {
  test(`fetch and XMLHttpRequest: ${name}`, async (t) => {
    const page = await at(t);
    const headers = JSON.stringify(body.headers ?? {});
    const calls = {
      fetch: `fetch('/send', {method: 'PUT', headers: ${headers}, body: ${body.make}}).then((r) => [r.status, r.url])`,
      Request: `fetch(new Request('/send', {method: 'PUT', headers: ${headers}, body: ${body.make}})).then((r) => [r.status, r.url])`,
      XHR: `new Promise((done) => {
        const x = new XMLHttpRequest(), heads = ${headers};
        x.open('PUT', '/send');
        for (const name in heads) x.setRequestHeader(name, heads[name]);
        x.onload = () => done([x.status, x.responseURL]);
        x.send(${body.make});
      })`,
    };
    for (const [how, call] of Object.entries(calls)) {
      w.app.reset();
      page.sent.length = 0;
      assert.deepEqual(await page.evaluate(call), [200, w.https('site.test', '/send')], how);
      await arrived(body, 'PUT');
      assert.equal(page.sent.length, 2);
    }
    assert.deepEqual(page.faults, []);
  });
}

test('the body that was given, whatever the page does with it then', async (t) => {
  const page = await at(t);
  await page.evaluate(async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const sent = fetch('/send', {method: 'POST', body: bytes});
    bytes.fill(0);
    await sent;
  });
  assert.equal((await w.app.one()).body.toString(), '\x01\x02\x03');
});

test('what is not ours stays as it is', async (t) => {
  const page = await at(t);
  const seen = await page.evaluate(async () => {
    const head = await fetch('/page', {method: 'HEAD'});
    const fail = await fetch('/send', {method: 'POST', headers: {'X-Fail': '1'}});
    const sync = new XMLHttpRequest();
    sync.open('POST', '/send', false);
    sync.send('a');
    let broken = null;
    try { await fetch('http://127.0.0.1:1/'); } catch (error) { broken = error.name; }
    let stream = null;
    try { stream = (await fetch('/send', {method: 'POST', duplex: 'half', body: new Blob(['a']).stream()})).status; } catch (error) { stream = error.name; }
    return {
      head: head.status, fail: fail.status, sync: sync.status, broken, stream,
      name: fetch.name, length: fetch.length, text: /native code/.test(Function.prototype.toString.call(fetch)),
      instance: sync instanceof XMLHttpRequest, own: class X extends XMLHttpRequest {}.name, sub: new (class X extends XMLHttpRequest {})().constructor.name,
      constants: [XMLHttpRequest.DONE, sync.DONE], xhr: [XMLHttpRequest.name, XMLHttpRequest.length, XMLHttpRequest.prototype.open.name, XMLHttpRequest.prototype.open.length],
      tag: String(sync), keys: Object.keys(window).filter((k) => /captcha/i.test(k)),
    };
  });
  assert.deepEqual(seen, {
    head: 200, fail: 422, sync: 403, broken: 'TypeError', stream: 403, name: 'fetch', length: 1, text: true, instance: true, own: 'X', sub: 'X', constants: [4, 4],
    xhr: ['XMLHttpRequest', 0, 'open', 2], tag: '[object XMLHttpRequest]', keys: [],
  });
  assert.deepEqual(page.faults.filter((f) => !/net::/.test(f)), []);
});

test('never more than twice', async (t) => {
  const page = await at(t);
  await page.route('**/send', (route) => route.fulfill({status: 403, contentType: 'application/problem+json', headers: {'Captcha-Required': 'pow'}, body: '{"captcha":' + puzzle + '}'}));
  const statuses = await page.evaluate(async () => {
    const f = await fetch('/send', {method: 'POST'});
    const x = new XMLHttpRequest();
    x.open('POST', '/send');
    x.send();
    await new Promise((done) => { x.onloadend = done; });
    return [f.status, x.status, JSON.parse(x.responseText).captcha.provider];
  });
  assert.deepEqual(statuses, [403, 403, 'pow']);
  assert.equal(page.sent.length, 4);
});

test('an answer that cannot be solved is the page\'s', async (t) => {
  const page = await at(t);
  for (const captcha of ['{}', 'null', '{"provider":"other","challenge":{}}', '{"provider":"pow","challenge":{"algorithm":"MD5"}}']) {
    await page.route('**/send', (route) => route.fulfill({status: 403, contentType: 'application/problem+json', headers: {'Captcha-Required': 'pow'}, body: `{"reason":"x","captcha":${captcha}}`}));
    const seen = await page.evaluate(async () => {
      const f = await fetch('/send', {method: 'POST', body: 'a'});
      const events = [];
      const x = new XMLHttpRequest();
      x.open('POST', '/send');
      x.responseType = 'json';
      for (const type of ['loadstart', 'load', 'loadend', 'error', 'abort', 'timeout']) x.addEventListener(type, () => events.push(type));
      x.onreadystatechange = () => events.push(x.readyState);
      x.send('a');
      await new Promise((done) => { x.onloadend = done; });
      return [f.status, (await f.json()).reason, x.status, x.response.reason, events];
    });
    assert.deepEqual(seen, [403, 'x', 403, 'x', ['loadstart', 4, 'load', 'loadend']]);
    await page.unroute('**/send');
  }
});

test('XMLHttpRequest: the page hears of the last answer only, whatever it listens to', async (t) => {
  const page = await at(t);
  const seen = await page.evaluate(async () => {
    const all = [];
    for (const responseType of ['', 'text', 'json', 'arraybuffer', 'blob']) {
      const events = [];
      const x = new XMLHttpRequest();
      x.open('POST', '/send', true);
      x.setRequestHeader('X-Own', 'a');
      x.responseType = responseType;
      x.timeout = 60000;
      x.withCredentials = true;
      x.onreadystatechange = () => events.push(x.readyState, x.status);
      for (const type of ['loadstart', 'load', 'loadend', 'error', 'abort', 'timeout']) x['on' + type] = () => events.push(type);
      x.send('a=1');
      await new Promise((done) => x.addEventListener('loadend', done));
      all.push([events.join(), x.timeout, x.withCredentials, x.responseType, responseType === 'json' ? x.response.ok : responseType === '' ? x.responseText : (x.response.size ?? x.response.byteLength ?? x.response)]);
    }
    return all;
  });
  const events = 'loadstart,2,200,3,200,4,200,load,loadend';
  assert.deepEqual(seen, [
    [events, 60000, true, '', '{"ok":true}'], [events, 60000, true, 'text', '{"ok":true}'], [events, 60000, true, 'json', true],
    [events, 60000, true, 'arraybuffer', 11], [events, 60000, true, 'blob', 11],
  ]);
  for (const post of await w.app.arrivals(5)) assert.equal(post.headers['x-own'], 'a');
});

test('a page that loses interest while we solve', async (t) => {
  const page = await at(t, {init: [hold]});
  await page.evaluate(() => {
    window.results = [];
    const control = new AbortController();
    window.stop = () => { control.abort(); x.abort(); };
    fetch('/send', {method: 'POST', signal: control.signal}).catch((error) => results.push(error.name));
    fetch(new Request('/send', {method: 'POST', signal: control.signal})).catch((error) => results.push(error.name));
    const x = new XMLHttpRequest();
    x.open('POST', '/send');
    for (const type of ['load', 'loadend', 'abort']) x.addEventListener(type, () => results.push(type));
    x.send();
    window.again = new Promise((done) => {
      const y = new XMLHttpRequest();
      y.open('POST', '/send');
      y.onload = () => y.responseURL.endsWith('/page') && done(y.status);
      y.send();
      window.reuse = () => { y.open('GET', '/page'); y.send(); };
    });
  });
  await page.waitForFunction(() => performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/send')).length === 4);
  await page.evaluate(() => { stop(); reuse(); });
  await page.waitForFunction(() => results.length === 4);
  assert.deepEqual((await page.evaluate(() => results)).sort(), ['AbortError', 'AbortError', 'abort', 'loadend']);
  assert.equal(await page.evaluate(() => again), 200);
  await release(page);
  await page.evaluate(() => fetch('/send', {method: 'POST', body: 'last'}));
  assert.equal((await w.app.one()).body.toString(), 'last');
});

test('a form that a script sends: its token is used, and replaced once spent', async (t) => {
  const page = await at(t);
  const ready = () => page.waitForFunction(() => document.querySelector('[name=altcha]:enabled')?.value);
  await page.evaluate(() => {
    window.statuses = [];
    document.forms[0].onsubmit = (e) => {
      e.preventDefault();
      fetch('/send', {method: 'POST', headers: {'X-Fail': '1', ...window.type && {'Content-Type': type}}, body: window.how(new FormData(e.target))}).then((r) => statuses.push(r.status));
    };
  });
  const ways = [
    ['(d) => d'], ['(d) => new URLSearchParams(d)'], ['(d) => new URLSearchParams(d).toString()', 'application/x-www-form-urlencoded'],
    ['(d) => JSON.stringify(Object.fromEntries(d))', 'application/json'],
  ];
  for (const [i, [how, type]] of ways.entries()) {
    w.app.reset();
    page.sent.length = 0;
    await page.evaluate(([how, type]) => { window.how = eval(how); window.type = type; }, [how, type]);
    await page.click('[name=text]');
    await ready();
    await page.click('button');
    await page.waitForFunction((n) => statuses.length === n, i + 1);
    assert.equal((await w.app.one()).headers['x-captcha-status'], 'passed', how);
    assert.deepEqual(page.sent.map((r) => r.headers()['captcha-request'] ?? r.headers()['captcha-token']?.length ?? 'plain'), ['challenge', 'plain'], how);
    await page.waitForFunction(() => document.querySelector('[name=altcha]').disabled);
    await page.evaluate(() => document.activeElement.blur());
  }
  assert.deepEqual(await page.evaluate(() => statuses), [422, 422, 422, 422]);
});

test('a form whose fields a script sends without the token: the token goes into the header', async (t) => {
  const page = await at(t);
  await page.click('[name=text]');
  await page.waitForFunction(() => document.querySelector('[name=altcha]').value);
  page.sent.length = 0;
  assert.equal(await page.evaluate(() => fetch('/send', {method: 'POST', body: '{"text":"x"}'}).then((r) => r.status)), 200);
  assert.equal(page.sent.length, 2);
  assert.equal((await w.app.one()).headers['x-captcha-status'], 'passed');
  assert.equal(await page.evaluate(() => document.querySelector('[name=altcha]').disabled), true);
});

test('a Request in the place of the options keeps its method when it is repeated', async (t) => {
  const page = await at(t);
  await page.evaluate(() => fetch('/send', new Request('/elsewhere', {method: 'DELETE'})).then((r) => r.status));
  assert.deepEqual(page.sent.map((r) => r.method()), ['DELETE', 'DELETE']);
  assert.equal((await w.app.one()).headers['x-captcha-status'], 'passed');
});

test('a request is repeated to the URL that it was sent to, wherever the page is by then', async (t) => {
  for (const how of ['fetch("send", {method: "PUT"})', 'new Promise((done) => { const x = new XMLHttpRequest(); x.open("PUT", "send"); x.onloadend = done; x.send(); })']) {
    const page = await at(t);
    await page.evaluate((how) => { const call = eval(how); history.pushState(null, '', '/deep/er/page'); return call.then(() => 0); }, how);
    assert.deepEqual(page.sent.map((r) => new URL(r.url()).pathname), ['/send', '/send'], how);
    assert.equal((await w.app.one()).headers['x-captcha-status'], 'passed');
  }
});
