// captcha_inject with the libraries that pages post with, as they are on npm.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {plain, visit} from './lib/inject.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const installed = new URL('./node_modules/', import.meta.url);
const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /send* {
		provider pow {
			difficulty 1000
		}
	}
	captcha_inject
	handle_path /npm/* {
		root * ${fileURLToPath(installed)}
		try_files {path} {path}.js
		file_server
	}
	handle {
		reverse_proxy {app}
	}
}`);

// The app answers posts with JSON, or with a piece of a page.
w.app.pages['/send'] = (seen, res) => {
  if (seen.headers.accept?.includes('turbo-stream')) return void res.writeHead(303, {Location: '/done'}).end();
  const json = seen.headers.accept?.includes('json');
  res.writeHead(200, {'Content-Type': json ? 'application/json' : 'text/html'}).end(json ? '{"ok":true}' : '<p id="done">done</p>');
};
w.app.pages['/done'] = html('<p id="done">done</p>');

// script is one file of a package, taken into the page.
const script = (path) => `<script>${readFileSync(new URL(path, installed), 'utf8').replaceAll('</script', '<\\/script')}</script>`;

const maps = {
  '@angular/common': '@angular/common/fesm2022/common.mjs', '@angular/common/http': '@angular/common/fesm2022/http.mjs', '@angular/core': '@angular/core/fesm2022/core.mjs',
  '@angular/core/primitives/signals': '@angular/core/fesm2022/primitives-signals.mjs', '@angular/core/primitives/di': '@angular/core/fesm2022/primitives-di.mjs',
  '@angular/core/primitives/event-dispatch': '@angular/core/fesm2022/primitives-event-dispatch.mjs', '@angular/core/rxjs-interop': '@angular/core/fesm2022/rxjs-interop.mjs',
  '@angular/compiler': '@angular/compiler/fesm2022/compiler.mjs', '@angular/platform-browser': '@angular/platform-browser/fesm2022/platform-browser.mjs',
  rxjs: 'rxjs/dist/esm/index.js', 'rxjs/operators': 'rxjs/dist/esm/operators/index.js', tslib: 'tslib/tslib.es6.mjs',
};
const angular = (how) => `<script type="importmap">${JSON.stringify({imports: Object.fromEntries(Object.entries(maps).map(([k, v]) => [k, '/npm/' + v]))})}</script>
<script type="module">
import '@angular/compiler';
import {provideZonelessChangeDetection} from '@angular/core';
import {HttpClient, provideHttpClient, ${how}} from '@angular/common/http';
import {createApplication} from '@angular/platform-browser';
const app = await createApplication({providers: [provideZonelessChangeDetection(), provideHttpClient(${how}())]});
window.post = () => new Promise((done, fail) => app.injector.get(HttpClient).post('/send', {a: 1}).subscribe({next: (x) => done(x.ok), error: fail}));
</script>`;

const zone = script('zone.js/bundles/zone.umd.min.js');
const xhr = `window.post = () => new Promise((done) => {
  const x = new XMLHttpRequest();
  x.open('POST', '/send');
  x.setRequestHeader('Accept', 'application/json');
  x.onreadystatechange = () => { if (x.readyState === 4) done(x.status === 200 && JSON.parse(x.responseText).ok); };
  x.send('a=1');
});`;

// A page whose post() resolves to whether it has worked.
const posting = {
  'axios, XMLHttpRequest': script('axios/dist/axios.min.js') + '<script>window.post = () => axios.post("/send", {a: 1}).then((r) => r.data.ok)</script>',
  'axios, fetch': script('axios/dist/axios.min.js') + '<script>window.post = () => axios.post("/send", {a: 1}, {adapter: "fetch"}).then((r) => r.data.ok)</script>',
  'jQuery': script('jquery/dist/jquery.min.js') + '<script>window.post = () => $.ajax({method: "POST", url: "/send", data: {a: 1}, dataType: "json"}).then((d) => d.ok)</script>',
  'zone.js, XMLHttpRequest': zone + `<script>${xhr}</script>`,
  'zone.js, fetch': zone + '<script>window.post = () => fetch("/send", {method: "POST", headers: {Accept: "application/json"}, body: "a=1"}).then((r) => r.json()).then((d) => d.ok)</script>',
  'Angular, XMLHttpRequest': zone + angular('withXhr'),
  'Angular, fetch': angular('withFetch'),
};
for (const [name, head] of Object.entries(posting)) {
  test(name, async (t) => {
    const page = await visit(w, t, '<p>the app</p>', {head});
    await page.waitForFunction(() => window.post);
    assert.deepEqual(await page.evaluate(async () => [await post(), await post()]), [true, true]);
    for (const seen of await w.app.arrivals(2)) {
      assert.equal(seen.headers['x-captcha-status'], 'passed');
      assert.ok(['a=1', '{"a":1}'].includes(seen.body.toString()));
    }
    assert.deepEqual(page.faults, []);
  });
}

// Libraries that send the app's forms: with the form's token, or with one that is made when it is refused.
const sending = {
  'htmx 2': [script('htmx2/dist/htmx.min.js'), plain.replace('method="post" action', 'method="post" action="/send" hx-target="body" hx-post')],
  'htmx 4': [script('htmx4/dist/htmx.min.js'), plain.replace('method="post" action', 'method="post" action="/send" hx-target="body" hx-post')],
  'htmx 2, a button without a form': [script('htmx2/dist/htmx.min.js'), '<button hx-post="/send" hx-target="body" name="text" value="hello">Send</button>'],
  Turbo: [script('@hotwired/turbo/dist/turbo.es2017-umd.js'), plain],
};
for (const [name, [head, body]] of Object.entries(sending)) {
  for (const early of [false, true]) {
    if (early && !body.includes('<input')) continue;
    test(`${name}${early ? ', with a token from the form' : ''}`, async (t) => {
      const page = await visit(w, t, body, {head});
      if (early) {
        await page.click('[name=text]');
        await page.waitForFunction(() => document.querySelector('[name=altcha]:enabled')?.value);
      }
      await page.evaluate(() => { window.same = true; });
      await page.click('button', {noWaitAfter: true});
      await page.locator('#done').waitFor();
      const seen = await w.app.one();
      assert.equal(seen.headers['x-captcha-status'], 'passed');
      assert.equal(seen.headers['sec-fetch-dest'], 'empty');
      assert.match(seen.body.toString(), early ? /^altcha=[^&]+&text=hello$/ : /text=hello$/);
      assert.equal(await page.evaluate(() => window.same), true, 'the library did not send it');
      assert.equal(page.challenged, 0);
      assert.deepEqual(page.faults, []);
    });
  }
}
