// captcha_inject: the app's own forms arrive with a token, and nobody sees a challenge page.
import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {hold, received, release} from './lib/browser.mjs';
import {temporary} from './lib/caddy.mjs';
import {arrives, injected, plain, ready, rest, visit} from './lib/inject.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(injected('site.test', {options: 'max_buffer 4KiB'}), {browser: {bfcache: true}});

const at = (t, body, options) => visit(w, t, body, options);

test('nothing is asked for before the visitor does something', async (t) => {
  const page = await at(t, plain.replace('<input', '<input autofocus'));
  await page.waitForFunction(() => document.activeElement.name === 'text');
  assert.equal(await page.evaluate(() => document.querySelectorAll('[role=status]').length), 0);
  assert.equal(page.asked.length, 0);
  await page.keyboard.press('Tab');
  await ready(page);
  assert.equal(page.asked.length, 1);
});

test('a token is made while the visitor types, said quietly, and sent first', async (t) => {
  const page = await at(t, plain, {init: [hold]});
  await page.click('[name=text]');
  const status = page.locator('[role=status]');
  await page.waitForFunction(() => document.querySelector('[role=status]')?.textContent);
  assert.equal(await status.innerText(), 'Checking that you are not a robot…');
  assert.equal(await page.evaluate(() => document.querySelector('[name=altcha]').disabled), true);
  await release(page);
  await ready(page);
  assert.equal(await status.innerText(), 'Check passed.');
  await page.fill('[name=text]', 'grüße');
  await page.click('button');
  assert.equal(rest(await arrives(w, page)), 'text=gr%C3%BC%C3%9Fe');
  assert.equal(page.asked.length, 1);
});

test('sent before the token is there: held, and sent as it was', async (t) => {
  const page = await at(t, `<form method="post" action="/send?a=1"><textarea name="text">a\nb</textarea><input name="n" value="1">
    <input name="off" value="1" disabled><button name="do" value="it">Send</button></form>
    <script>
    window.ran = 0;
    document.forms[0].onsubmit = (e) => {
      ran++;
      setTimeout(() => { document.forms[0].reset(); for (const f of document.forms[0].elements) f.disabled = true; });
    };
    document.forms[0].text.value = 'typed\\nby hand';
    </script>`, {init: [hold]});
  await page.click('button', {noWaitAfter: true});
  await page.waitForFunction(() => document.querySelector('[name=text]').disabled);
  assert.equal(await page.evaluate(() => ran), 1);
  await release(page);
  const seen = await arrives(w, page);
  assert.equal(rest(seen), 'text=typed%0D%0Aby+hand&n=1&do=it');
  assert.equal(seen.url, '/send?a=1');
  assert.equal(seen.headers['content-type'], 'application/x-www-form-urlencoded');
  assert.equal(seen.headers['sec-fetch-mode'], 'navigate');
});

test('a double click sends once', async (t) => {
  const page = await at(t, plain, {init: [hold]});
  await page.dblclick('button', {noWaitAfter: true});
  await release(page);
  assert.equal(rest(await arrives(w, page)), 'text=hello');
});

// What a submitter can say for itself, and how a script may submit.
const ways = {
  'formaction, formenctype, formmethod': {
    body: '<form action="/nowhere"><input name="a" value="1"><button formaction="/send?b" formmethod="post" formenctype="multipart/form-data" name="c" value="2">Send</button></form>',
    check(seen) {
      assert.equal(seen.url, '/send?b');
      assert.match(seen.body.toString(), /name="a"\r\n\r\n1\r\n.*name="c"\r\n\r\n2\r\n/s);
    },
  },
  'an image button': {
    body: '<form method="post" action="/send"><input type="image" name="map" alt="Send" src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" width="40" height="40"></form>',
    press: (page) => page.click('[type=image]', {position: {x: 10, y: 20}, noWaitAfter: true}),
    check: (seen) => assert.equal(rest(seen), 'map.x=10&map.y=20'),
  },
  'form=': {
    body: '<form id="f" method="post" action="/send"></form><p><input form="f" name="a" value="1"><button form="f" name="b" value="2">Send</button></p>',
    check: (seen) => assert.equal(rest(seen), 'a=1&b=2'),
  },
  'requestSubmit': {
    body: plain,
    press: (page) => page.evaluate(() => document.forms[0].requestSubmit()),
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
  'Enter': {
    body: plain,
    press: async (page) => {
      await page.focus('[name=text]');
      await page.keyboard.press('Enter');
    },
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
  'in a modal dialog': {
    body: `<dialog>${plain}</dialog><script>document.querySelector('dialog').showModal()</script>`,
    touch: (page) => page.click('[name=text]'), // it has the focus already
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
  'in a table': {
    body: '<table><form method="post" action="/send"><tr><td><input name="text" value="hello"></td><td><button>Send</button></td></tr></form></table>',
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
  'names that hide the form\'s own': {
    body: `<form method="post" action="/send">${['submit', 'action', 'method', 'elements', 'id', 'getAttribute', 'contains', 'prepend', 'append', 'matches', 'getRootNode', 'closest', 'addEventListener', 'enctype', 'target', 'parentNode', 'removeEventListener', 'hasAttribute', 'form']
      .map((name) => `<input name="${name}" value="1">`).join('')}<button>Send</button></form>`,
    press: (page) => page.evaluate(() => document.querySelector('button').click()), // Playwright falls for them
    touch: (page) => page.evaluate(() => document.querySelector('[name=submit]').focus()),
    check: (seen) => assert.match(rest(seen), /^submit=1&action=1&.*form=1$/),
  },
  'added later': {
    body: '<div id="place"></div>',
    async before(page) {
      await page.evaluate((html) => { document.getElementById('place').innerHTML = html; }, plain);
    },
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
  'an open shadow root': shadow('open'),
  'a closed shadow root': shadow('closed'),
  'a declarative shadow root': {
    body: `<div id="host"><template shadowrootmode="open">${plain}</template></div>`,
    press: (page) => page.click('#host button', {noWaitAfter: true}),
    ready: (page) => page.waitForFunction(() => document.getElementById('host').shadowRoot.querySelector('[name=altcha]')?.value),
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
  'a form after document.write': {
    body: '<p>old</p>',
    async before(page) {
      await page.evaluate((html) => {
        document.write(html);
        document.close();
      }, plain);
    },
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
  'a body that was replaced': {
    body: '<p>old</p>',
    async before(page) {
      await page.evaluate((html) => { // as Turbo does, our script among what it runs again
        const body = document.createElement('body'), script = document.createElement('script');
        script.textContent = document.querySelector('script[data-captcha-inject]').textContent;
        body.innerHTML = html;
        body.prepend(script);
        document.body.replaceWith(body);
      }, plain);
    },
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  },
};

function shadow(mode) {
  return {
    body: `<div id="host"></div><script>
      window.root = document.getElementById('host').attachShadow({mode: '${mode}'});
      root.innerHTML = '${plain}';
      </script>`,
    press: (page) => page.evaluate(() => root.querySelector('button').click()),
    touch: (page) => page.evaluate(() => root.querySelector('[name=text]').focus()),
    ready: (page) => page.waitForFunction(() => root.querySelector('[name=altcha]')?.value),
    check: (seen) => assert.equal(rest(seen), 'text=hello'),
  };
}

for (const [name, way] of Object.entries(ways)) {
  const press = way.press ?? ((page) => page.click('button', {noWaitAfter: true}));
  test(`${name}: held`, async (t) => {
    const page = await at(t, way.body);
    await way.before?.(page);
    await press(page);
    way.check(await arrives(w, page));
  });
  test(`${name}: ready`, async (t) => {
    const page = await at(t, way.body);
    await way.before?.(page);
    const touch = way.touch ?? (() => page.focus('[name=text], [name=a], [type=image]:visible, [name=submit]'));
    if (name === 'formaction, formenctype, formmethod') return; // the form itself does not post: nothing is made ahead
    await touch(page);
    await (way.ready ?? ready)(page);
    await press(page);
    way.check(await arrives(w, page));
    assert.equal(page.asked.length, 1);
  });
}

// An upload streams: what follows the token is not looked at. 20 MB fit neither
// max_buffer nor max_replay, so without the token in front there would be a page.
const files = temporary();
for (const how of ['held', 'ready']) {
  test(`an upload of 20 MB: ${how}`, async (t) => {
    const page = await at(t, `<form method="post" action="/send" enctype="multipart/form-data"><input name="text" value="hello"><input type="file" name="a" multiple>
      <input type="file" name="none"><button>Send</button></form>`, {init: how === 'held' ? [hold] : []});
    const bytes = Buffer.alloc(20 << 20, 'x');
    await page.setInputFiles('[name=a]', Object.entries({'grüße "1".bin': bytes, 'small.txt': '\r\n--'}).map(([name, content]) => {
      const path = join(files, name);
      writeFileSync(path, content);
      return path;
    }));
    if (how === 'held') {
      await page.click('button', {noWaitAfter: true});
      await page.waitForFunction(() => document.querySelector('[role=status]')?.textContent);
      await release(page);
    } else {
      await ready(page);
      await page.click('button', {noWaitAfter: true});
    }
    const seen = await arrives(w, page);
    const parts = seen.body.toString('latin1').split(/--(?=----)[^\r]*\r\n|\r\n------\w+(?:--)?\r\n/).filter(Boolean);
    const names = parts.map((part) => part.slice(0, part.indexOf('\r\n\r\n')).split('\r\n').map((line) => Buffer.from(line, 'latin1').toString()).join('|'));
    assert.deepEqual(names.slice(1), [
      'Content-Disposition: form-data; name="text"',
      'Content-Disposition: form-data; name="a"; filename="grüße %221%22.bin"|Content-Type: application/octet-stream',
      'Content-Disposition: form-data; name="a"; filename="small.txt"|Content-Type: text/plain',
      'Content-Disposition: form-data; name="none"; filename=""|Content-Type: application/octet-stream',
    ]);
    assert.ok(parts[2].endsWith('\r\n\r\n' + 'x'.repeat(bytes.length)));
  });
}

// Policies under which the page's own scripts run, and ours.
const policies = {
  'a nonce': "default-src 'self'; script-src 'nonce-abc'",
  'strict-dynamic': "script-src 'nonce-abc' 'strict-dynamic'; object-src 'none'",
  'nothing allowed': "default-src 'none'; script-src 'nonce-abc'; form-action 'self'",
  'only a default': "default-src 'nonce-abc'",
  'no workers': "default-src 'self'; script-src 'nonce-abc'; worker-src 'none'",
};
for (const [name, policy] of Object.entries(policies)) {
  test(`a page with a policy: ${name}`, async (t) => {
    const page = await at(t, plain + '<script nonce="abc">window.own = true</script>', {headers: {'Content-Security-Policy': policy}});
    assert.equal(await page.evaluate(() => window.own), true);
    await page.click('[name=text]');
    await ready(page);
    await page.click('button');
    assert.equal(rest(await arrives(w, page)), 'text=hello');
  });
}
