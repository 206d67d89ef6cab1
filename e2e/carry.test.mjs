// Solve and post: what the app gets is what it would have got without us.
import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {received} from './lib/browser.mjs';
import {temporary} from './lib/caddy.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const form = (attributes, fields) => `<form method="post" action="/guarded/x?q=1&amp;r=%20%C3%A9" ${attributes}>${fields}
<button id="guarded" name="submitter" value="b">guarded</button></form>`;
const button = (page) => page.locator('#guarded');

const texts = `<input name="text"><textarea name="area"></textarea><input type="checkbox" name="box" checked>
<input type="hidden" name="empty" value=""><input type="hidden" name="twice" value="1"><input type="hidden" name="twice" value="2">`;
const latin1 = Buffer.from(html(form('', texts + '<input type="hidden" name="_charset_">')).replace('utf-8', 'iso-8859-1'), 'latin1');

const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /guarded* {
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}
}`, {pages: {
  '/urlencoded': html(form('', texts)),
  '/multipart': html(form('enctype="multipart/form-data"', texts + '<input type="file" name="a" multiple><input type="file" name="b">')),
  '/plain': html(form('enctype="text/plain"', texts)),
  '/accept-charset': html(form('accept-charset="windows-1252"', texts)),
  '/latin1-page': (seen, res) => res.writeHead(200, {'Content-Type': 'text/html; charset=iso-8859-1'}).end(latin1),
}});

const dir = temporary();
const file = (name, content) => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
const binaryBytes = Buffer.from(Array.from({length: 100_000}, (_, i) => (i * 7919 >> 3) & 255));
const files = [
  file('größe "1" 漢字 😀.bin', binaryBytes),
  file('second.txt', '\r\n--not-a-boundary\r\n\0\n\r'),
];
const nothing = file('leer.dat', '');

const awkward = 'a b+c&d=e%41;é €\u00a0漢字😀 "quoted" \\ \u0007';

async function fill(page) {
  await page.fill('[name=text]', awkward);
  await page.fill('[name=area]', 'first line\nsecond line\n\n ' + awkward);
  if (await page.locator('[name=a]').count()) {
    await page.setInputFiles('[name=a]', files);
    await page.setInputFiles('[name=b]', nothing);
  }
}

// as is a request in a form in which two posts of one form are the same:
// without the boundary, which is random, and without what tells them apart.
function as(seen) {
  const headers = {...seen.headers};
  for (const name of ['x-captcha-status', 'x-captcha-provider']) delete headers[name];
  let body = seen.body.toString('latin1');
  const boundary = headers['content-type'].match(/boundary=(.*)/)?.[1];
  if (boundary) {
    body = body.replaceAll(boundary, 'BOUNDARY');
    headers['content-type'] = headers['content-type'].replace(boundary, 'BOUNDARY');
  }
  return {headers, body, url: seen.url, trailers: seen.trailers};
}

for (const path of ['urlencoded', 'multipart', 'plain', 'accept-charset', 'latin1-page']) {
  test(`${path}: carried byte by byte`, async (t) => {
    w.app.reset();
    const page = await w.visitor(t);
    for (const way of ['plain', 'guarded']) {
      await page.goto(w.https('site.test', '/' + path));
      // the same submitter for both ways
      await page.evaluate((action) => document.forms[0].setAttribute('action', `/${action}/x?q=1&r=%20%C3%A9`), way);
      await fill(page);
      await button(page).click();
      await received(page);
    }
    const [plain, guarded] = await w.app.arrivals(2);
    assert.equal(w.app.posts.length, 2);
    assert.equal(guarded.headers['x-captcha-status'], 'passed');
    assert.equal(guarded.headers['x-captcha-provider'], 'pow');
    assert.equal(Number(guarded.headers['content-length']), guarded.body.length);
    assert.equal(guarded.headers.origin, w.https('site.test'));
    assert.equal(guarded.headers['sec-fetch-site'], 'same-origin');
    assert.equal(guarded.headers['sec-fetch-user'], '?1');

    const [a, b] = [as(plain), as(guarded)];
    assert.equal(b.url, a.url.replace('/plain/', '/guarded/'));
    assert.deepEqual(b.headers, a.headers);
    assert.equal(b.body, a.body);
    assert.ok(b.body.length > 100);
    assert.deepEqual(page.faults, []);
  });
}

test('D-79 multipart: the files are in it', async (t) => {
  w.app.reset();
  const page = await w.visitor(t);
  await page.goto(w.https('site.test', '/multipart'));
  await fill(page);
  await button(page).click();
  await received(page);
  const {body} = await w.app.one();
  assert.ok(body.includes(binaryBytes));
  assert.ok(body.includes('filename="größe %221%22 漢字 😀.bin"'));
  assert.ok(body.includes('filename="leer.dat"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--'));
});

test('a file input that is left empty, and a form without fields', async (t) => {
  w.app.reset();
  const page = await w.visitor(t);
  await page.goto(w.https('site.test', '/multipart'));
  await button(page).click();
  await received(page);
  assert.ok((await w.app.one()).body.includes('name="b"; filename=""'));

  w.app.reset();
  await page.goto(w.https('site.test', '/urlencoded'));
  await page.evaluate(() => {
    document.forms[0].replaceChildren();
    document.forms[0].submit();
  });
  await received(page);
  assert.equal((await w.app.one()).body.length, 0);
});
