// The libraries with which real pages post, on pages that captcha_inject has
// passed: they notice nothing of the edge's refusal, and the app nothing of it
// either. With fetch and XMLHttpRequest alike.
import assert from 'node:assert/strict';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';
import {injected, pow} from './lib/inject.mjs';
import {npm} from './lib/providers.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const site = (name, difficulty) => injected(`${name}.test`, {path: '/api/*', provider: pow(difficulty)});
const w = await world(site('site', 1000) + site('endless', 50_000_000));

const bundle = (options) => build({bundle: true, write: false, format: 'iife', logLevel: 'error', define: {ngDevMode: 'false'}, ...options})
  .then(({outputFiles: [file]}) => file.text);
const angular = await bundle({entryPoints: [fileURLToPath(new URL('lib/angular-app.mjs', import.meta.url))], format: 'esm'});
const ky = await bundle({stdin: {contents: 'import ky from "ky"; window.ky = ky;', resolveDir: fileURLToPath(new URL('.', import.meta.url))}});

const scripts = {
  'axios.js': npm('axios/dist/axios.min.js'), 'jquery.js': npm('jquery/dist/jquery.min.js'), 'ky.js': ky, 'angular.js': angular,
  'zone.js': npm('zone.js/bundles/zone.umd.min.js'),
  'htmx2.js': npm('htmx2/dist/htmx.min.js'), 'htmx4.js': npm('htmx.org/dist/htmx.min.js'), 'turbo.js': npm('@hotwired/turbo/dist/turbo.es2017-umd.js'),
};
for (const [name, text] of Object.entries(scripts)) {
  w.app.pages['/static/' + name] = (seen, res) => res.writeHead(200, {'Content-Type': 'text/javascript'}).end(text);
}
const tag = (name) => `<script ${name === 'angular.js' ? 'type="module"' : 'defer'} src="/static/${name}"></script>`;
w.app.pages['/clients'] = html('', ['axios.js', 'jquery.js', 'ky.js', 'angular.js'].map(tag).join(''));

w.app.pages['/zone'] = html('', '<script src="/static/zone.js"></script>');

const json = (status, body) => (seen, res) => res.writeHead(status, {'Content-Type': 'application/json'}).end(JSON.stringify(body));
w.app.pages['/api/items'] = json(201, {id: 7});
w.app.pages['/api/invalid'] = json(422, {errors: ['name is missing']});

// Each client posts a body and tells what its caller gets to see: every status
// that its handlers hear of, the data, or the name of the error. They run in the page.
const clients = {
  fetch: async ({path, body, signal}) => {
    const r = await fetch(path, {method: 'POST', body, signal, headers: typeof body === 'string' ? {'Content-Type': 'application/json'} : {}});
    return {statuses: [r.status], data: await r.json()};
  },
  'fetch with a Request': async ({path, body, signal}) => {
    const r = await fetch(new Request(path, {method: 'POST', body, signal, headers: typeof body === 'string' ? {'Content-Type': 'application/json'} : {}}));
    return {statuses: [r.status], data: await r.json()};
  },
  XMLHttpRequest: ({path, body, signal}) => new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const events = [], statuses = new Set();
    for (const type of ['loadstart', 'readystatechange', 'load', 'error', 'abort', 'loadend']) {
      xhr.addEventListener(type, () => { events.push(type + xhr.readyState); if (xhr.readyState > 1) statuses.add(xhr.status); });
    }
    xhr.open('POST', path);
    xhr.responseType = 'json';
    if (typeof body === 'string') xhr.setRequestHeader('Content-Type', 'application/json');
    signal?.addEventListener('abort', () => xhr.abort());
    xhr.onabort = () => reject(new DOMException('', 'AbortError'));
    xhr.onloadend = () => {
      const expected = 'readystatechange1,loadstart1,readystatechange2,readystatechange3,readystatechange4,load4,loadend4';
      resolve({statuses: [...statuses], data: xhr.response, ...events.join() !== expected && {events: events.join()}});
    };
    xhr.send(body);
  }),
  axios: async ({path, body, signal}) => {
    const statuses = [];
    const client = axios.create({headers: {'X-Requested-With': 'XMLHttpRequest'}});
    client.interceptors.response.use((r) => { statuses.push(r.status); return r; }, (e) => { statuses.push(e.response?.status ?? e.code); throw e; });
    try {
      const r = await client.post(path, typeof body === 'string' ? JSON.parse(body) : body, {signal});
      return {statuses, data: r.data};
    } catch (e) {
      if (axios.isCancel(e)) throw new DOMException('', 'AbortError');
      return {statuses, data: e.response.data};
    }
  },
  jQuery: ({path, body, signal}) => new Promise((resolve, reject) => {
    const statuses = [];
    jQuery(document).off('.test').on('ajaxSuccess.test ajaxError.test', (e, xhr) => statuses.push(xhr.status));
    const call = jQuery.ajax({
      url: path, method: 'POST', data: body, processData: false, dataType: 'json', contentType: typeof body === 'string' ? 'application/json' : false,
      statusCode: {403: () => statuses.push('403 was heard')},
    });
    signal?.addEventListener('abort', () => call.abort());
    call.always((a, status) => {
      if (status === 'abort') return reject(new DOMException('', 'AbortError'));
      setTimeout(() => resolve({statuses, data: call.responseJSON}));
    });
  }),
  ky: async ({path, body, signal}) => {
    const statuses = [];
    const hooks = {afterResponse: [(request, options, r) => { statuses.push(r.status); }]};
    const r = await ky.post(path, {body, signal, hooks, retry: 0, throwHttpErrors: false, headers: typeof body === 'string' ? {'Content-Type': 'application/json'} : {}});
    return {statuses, data: await r.json()};
  },
};
for (const backend of ['xhr', 'fetch']) {
  clients[`Angular’s HttpClient (${backend})`] = new Function('{path, body, signal}', `return new Promise((resolve, reject) => {
    const statuses = [];
    const call = angular.${backend}.post(path, typeof body === 'string' ? JSON.parse(body) : body, {observe: 'events', reportProgress: true}).subscribe({
      next: (e) => { if (e.status !== undefined) statuses.push(e.status); if (e.type === 4) resolve({statuses: [...new Set(statuses)], data: e.body}); },
      error: (e) => resolve({statuses: [...new Set([...statuses, e.status])], data: e.error}),
    });
    signal?.addEventListener('abort', () => { call.unsubscribe(); reject(new DOMException('', 'AbortError')); });
  })`);
}

async function at(t, host = 'site.test', path = '/clients') {
  w.app.reset();
  const page = await w.visitor(t);
  await page.goto(w.https(host, path));
  return page;
}

// call runs a client in a page. The file's bytes are no text in any charset.
const call = (page, client, path, body) => page.evaluate(async ([code, path, body]) => {
  if (body === 'form') {
    body = new FormData();
    body.append('name', 'Zoë');
    body.append('file', new File([new Uint8Array([0, 13, 10, 255, 45, 45])], 'ü.bin', {type: 'application/octet-stream'}));
  }
  return (0, eval)(`(${code})`)({path, body});
}, [String(client).replace(/^function anonymous\(([^]*?)\n\) \{/, '($1) => {'), path, body]);

const text = JSON.stringify({name: 'Zoë', nested: {list: [1, '"<\\']}});

// zone.js, of older Angular applications, wraps what we wrap.
const everywhere = [
  ...Object.entries(clients).map((entry) => [...entry, '/clients']),
  ...['fetch', 'XMLHttpRequest'].map((name) => [`${name} under zone.js`, clients[name], '/zone']),
];

for (const [name, client, path] of everywhere) {
  test(`${name}: a post is solved silently and arrives once; a file; an error of the app`, async (t) => {
    const page = await at(t, 'site.test', path);
    assert.deepEqual(await call(page, client, '/api/items', text), {statuses: [201], data: {id: 7}});
    const [first] = w.app.posts;
    assert.equal(first.body.toString(), text);
    assert.match(first.headers['content-type'], /^application\/json/);
    assert.equal(first.headers['x-captcha-status'], 'passed');

    assert.deepEqual(await call(page, client, '/api/items', 'form'), {statuses: [201], data: {id: 7}});
    const upload = w.app.posts[1].body.toString('latin1');
    assert.match(upload, /name="name"\r\n\r\nZo\xc3\xab\r\n/);
    assert.match(upload, /name="file"; filename="\xc3\xbc\.bin"\r\nContent-Type: application\/octet-stream\r\n\r\n\x00\r\n\xff--\r\n/);

    assert.deepEqual(await call(page, client, '/api/invalid', text), {statuses: [422], data: {errors: ['name is missing']}});
    assert.equal(w.app.posts.length, 3);
    assert.deepEqual(w.app.posts.map((p) => p.headers['x-captcha-status']), ['passed', 'passed', 'passed']);
    assert.deepEqual(page.faults, []);
  });

  test(`${name}: given up while it is solved`, async (t) => {
    const page = await at(t, 'endless.test', path);
    const refused = page.waitForResponse((r) => r.status() === 403);
    const outcome = page.evaluate(async ([code, body]) => {
      window.control = new AbortController();
      try {
        return await (0, eval)(`(${code})`)({path: '/api/items', body, signal: control.signal});
      } catch (e) {
        return e.name;
      }
    }, [String(client).replace(/^function anonymous\(([^]*?)\n\) \{/, '($1) => {'), text]);
    await (await refused).finished();
    await page.evaluate(() => new Promise((resolve) => setTimeout(() => { control.abort(); resolve(); })));
    assert.equal(await outcome, 'AbortError');
    assert.deepEqual(w.app.posts, []);
    assert.deepEqual(page.faults, []);
  });
}
