// The app answers the form with a redirect: the browser follows it, wherever it leads.
import assert from 'node:assert/strict';
import {hold, release, kind, card} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /send* {
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}
}
https://other.test:{https} {
	tls internal
	reverse_proxy {app}
}`, {pages: {'/form': html('<form method="post"><input name="text" value="hello"><button>Send</button></form>'), '/thanks': html('<p id="thanks">Thanks</p>')}});

const targets = {same: '/thanks?a=1', other: w.https('other.test', '/thanks?a=1')};
for (const [name, location] of Object.entries(targets)) {
  for (const status of [302, 303, 307]) {
    w.app.pages[`/send/${name}/${status}`] = (seen, res) => res.writeHead(status, {Location: location}).end();
  }
}
w.app.pages['/thanks'] = (seen, res) => res.writeHead(200, {'Content-Type': 'text/html'}).end(html(`<p id="thanks">Thanks</p>`));

for (const name of ['same', 'other']) {
  for (const status of [302, 303, 307]) {
    test(`${status} to ${name === 'same' ? 'the same origin' : 'another origin'}`, async (t) => {
      w.app.reset();
      const page = await w.visitor(t, {init: [hold]});
      await page.goto(w.https('site.test', '/form'));
      await page.evaluate((action) => { document.forms[0].action = action; }, `/send/${name}/${status}`);
      await page.click('button');
      await card(page).waitFor();
      assert.equal(await kind(page), 'submit');
      await release(page);
      await page.locator('#thanks').waitFor();
      assert.equal(page.url(), new URL(targets[name], w.https('site.test')).href);
      const [first] = await w.app.arrivals();
      assert.equal(first.body.toString(), 'text=hello');
      assert.deepEqual(page.faults, []);
      if (status === 303) assert.equal(w.app.posts.length, 1);
    });
  }
}
