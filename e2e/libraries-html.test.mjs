// htmx and Turbo: the app answers posts with HTML, whose forms take the place of
// those that were sent. They work on as they do without us.
import assert from 'node:assert/strict';
import {injected, pow} from './lib/inject.mjs';
import {npm} from './lib/providers.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const site = (name, difficulty) => injected(`${name}.test`, {provider: pow(difficulty)});
const w = await world(site('site', 1000) + site('endless', 50_000_000));
for (const [name, path] of [['htmx2', 'htmx2/dist/htmx.min.js'], ['htmx4', 'htmx.org/dist/htmx.min.js'], ['turbo', '@hotwired/turbo/dist/turbo.es2017-umd.js']]) {
  const text = npm(path);
  w.app.pages[`/static/${name}.js`] = (seen, res) => res.writeHead(200, {'Content-Type': 'text/javascript'}).end(text);
}

const answer = (status, text, headers = {}) => (seen, res) => res.writeHead(status, {'Content-Type': 'text/html; charset=utf-8', ...headers}).end(text);

async function at(t, path, host = 'site.test') {
  w.app.reset();
  const page = await w.visitor(t);
  page.challenges = 0; // challenge pages
  page.on('response', async (r) => { if (/text\/html/.test(r.headers()['content-type']) && r.status() === 403) page.challenges++; });
  await page.goto(w.https(host, path));
  return page;
}

// rest is a body without the token, which is there where the visitor's first
// touch was early enough.
const rest = ({body}) => body.toString().replace(/(^|&)altcha=[^&]*/, '').replace(/^&/, '');

// What htmx 2 itself writes to the console: errors of the app, and what was given up.
const own = /^(Response Status Error Code 422|htmx:afterRequest|htmx:sendAbort)\b/;

function check(page, bodies) {
  assert.deepEqual(w.app.posts.map(rest), bodies);
  assert.deepEqual(w.app.posts.map((p) => p.headers['x-captcha-status']), bodies.map(() => 'passed'));
  assert.equal(page.challenges, 0);
  assert.deepEqual(page.faults.filter((text) => !own.test(text)), []);
}

// The events that a page's own handlers hear of, by what the versions call them.
const listen = () => {
  window.heard = [];
  const status = ({detail: {xhr, ctx, fetchResponse}}) => (xhr ?? ctx?.response ?? fetchResponse?.response)?.status;
  for (const type of ['htmx:afterRequest', 'htmx:after:request', 'htmx:responseError', 'htmx:response:error', 'turbo:submit-end', 'turbo:before-fetch-response']) {
    addEventListener(type, (e) => heard.push(`${type.replace(/:(?!.*:)|-/g, '')} ${status(e)}`.toLowerCase().replaceAll(':', '')));
  }
};
const heard = (page) => page.evaluate(() => window.heard);

for (const version of ['htmx2', 'htmx4']) {
  const form = (attributes, value, to = '/send') => `<form ${attributes} hx-post="${to}" hx-target="#out"><input name="text" value="${value}"><button>Send</button></form>`;
  const head = `<script src="/static/${version}.js"></script><script>(${listen})()</script>`;
  const swapped = `<p>saved</p>${form('id="second" method="post" action="/nowhere"', 'two', '/send/second')}`;
  w.app.pages['/send'] = answer(200, swapped);
  w.app.pages['/send/second'] = answer(200, '<p>saved twice</p>');
  w.app.pages['/send/invalid'] = answer(422, '<p>no</p>');

  for (const [kind, attributes] of [['a form that htmx alone sends', 'id="first"'], ['a form that works without scripts too', 'id="first" method="post" action="/send"']]) {
    test(`${version}: ${kind}, and the one that takes its place`, async (t) => {
      w.app.pages['/' + version] = html(form(attributes, 'one') + '<div id="out"></div>', head);
      const page = await at(t, '/' + version);
      await page.click('#first button');
      await page.locator('#second').waitFor();
      await page.fill('#second input', 'three');
      await page.click('#second button');
      await page.getByText('saved twice').waitFor();
      check(page, ['text=one', 'text=three']);
      assert.deepEqual(await heard(page), ['htmxafterrequest 200', 'htmxafterrequest 200']);
    });
  }

  test(`${version}: an error of the app`, async (t) => {
    w.app.pages['/' + version] = html(form('id="first"', 'one', '/send/invalid') + '<div id="out"></div>', head);
    const page = await at(t, '/' + version);
    await page.click('#first button');
    await page.waitForFunction(() => heard.length > 1);
    assert.deepEqual((await heard(page)).sort(), ['htmxafterrequest 422', 'htmxresponseerror 422']);
    check(page, ['text=one']);
  });

  test(`${version}: given up while it is solved`, async (t) => {
    w.app.pages['/' + version] = html(form('id="first"', 'one') + '<div id="out"></div>', head);
    const page = await at(t, '/' + version, 'endless.test');
    const refused = page.waitForResponse((r) => r.status() === 403);
    await page.click('#first button');
    await (await refused).finished();
    await page.evaluate(() => htmx.trigger('#first', 'htmx:abort'));
    await page.waitForFunction(() => !document.querySelector('.htmx-request'));
    check(page, []);
    assert.deepEqual((await heard(page)).filter((e) => / (200|403)$/.test(e)), []);
  });
}

const turbo = (body, head = '') => html(body, `<script src="/static/turbo.js"></script><script>(${listen})()</script>${head}`);
const turboForm = (id, value, to) => `<form id="${id}" method="post" action="${to}"><input name="text" value="${value}"><button name="b" value="1">Send</button></form>`;

test('Turbo: errors of the app in place, then its redirect', async (t) => {
  w.app.pages['/turbo'] = turbo(turboForm('first', 'one', '/send/turbo'));
  w.app.pages['/done'] = turbo('<p>done</p>');
  w.app.pages['/send/turbo'] = (seen, res) => /text=good/.test(seen.body)
    ? answer(303, '', {Location: '/done'})(seen, res)
    : answer(422, turbo(`<p>not good</p>${turboForm('again', 'bad', '/send/turbo')}`))(seen, res);
  const page = await at(t, '/turbo');
  await page.evaluate(() => { window.stayed = true; });
  await page.click('#first button');
  await page.getByText('not good').waitFor();
  await page.fill('#again input', 'good');
  await page.click('#again button');
  await page.getByText('done').waitFor();
  assert.equal(new URL(page.url()).pathname, '/done');
  assert.equal(await page.evaluate(() => window.stayed), true, 'Turbo has loaded a whole page');
  check(page, ['text=one&b=1', 'text=good&b=1']);
  assert.deepEqual((await heard(page)).filter((e) => /403/.test(e)), []);
});

test('Turbo: a frame, and the form that comes into it', async (t) => {
  w.app.pages['/turbo'] = turbo(`<turbo-frame id="frame">${turboForm('first', 'one', '/send/frame')}</turbo-frame>`);
  w.app.pages['/send/frame'] = answer(422, html(`<turbo-frame id="frame">${turboForm('second', 'two', '/send/last')}</turbo-frame>`));
  w.app.pages['/send/last'] = answer(422, html('<turbo-frame id="frame"><p>the end</p></turbo-frame>'));
  const page = await at(t, '/turbo');
  await page.click('#first button');
  await page.click('#second button');
  await page.getByText('the end').waitFor();
  check(page, ['text=one&b=1', 'text=two&b=1']);
});

test('Turbo: visits and forms on the page that comes', async (t) => {
  w.app.pages['/turbo'] = turbo('<a href="/turbo/next">next</a>');
  w.app.pages['/turbo/next'] = turbo(turboForm('first', 'one', '/send/visit'));
  w.app.pages['/send/visit'] = answer(422, turbo('<p>arrived</p>'));
  const page = await at(t, '/turbo');
  await page.click('a');
  await page.click('#first button');
  await page.getByText('arrived').waitFor();
  check(page, ['text=one&b=1']);
});

test('Turbo: a stream, twice from the same form', async (t) => {
  let count = 0;
  w.app.pages['/turbo'] = turbo(turboForm('first', 'one', '/send/stream') + '<ul id="list"></ul>');
  w.app.pages['/send/stream'] = (seen, res) => answer(200, `<turbo-stream action="append" target="list"><template><li>${++count}</li></template></turbo-stream>`, {'Content-Type': 'text/vnd.turbo-stream.html'})(seen, res);
  const page = await at(t, '/turbo');
  for (const n of [1, 2]) {
    await page.click('#first button');
    await page.locator(`#list li:nth-child(${n})`).waitFor();
  }
  check(page, ['text=one&b=1', 'text=one&b=1']);
});
