// Every kind of page that a visitor can meet, one after the other.
import {armed, card, hold, kind, ready} from './browser.mjs';
import {html} from './upstream.mjs';

export const sites = `
https://site.test:{https} {
	tls internal
	captcha /send* {
		provider pow {
			difficulty 1000
		}
		max_replay 8KiB
		challenge {
			title "Example Shop"
			contact help@site.test
		}
	}
	reverse_proxy {app}
}
http://site.test:{http} {
	captcha
	reverse_proxy {app}
}
https://www.site.test:{https}, https://evil.test:{https} {
	tls internal
	reverse_proxy {app}
}
http://evil.test:{http} {
	reverse_proxy {app}
}`;

const form = (action) => html(`<form method="post" action="${action}"><textarea name="text">hello</textarea><button>Send</button></form>`);

// prepare gives the app the forms that lead to the pages.
export function prepare(w) {
  w.app.pages['/form'] = form(w.https('site.test', '/send'));
  w.app.pages['/insecure-form'] = form(w.http('site.test', '/send'));
}

// ways lead to the kinds of pages: name -> function of world and page.
export const ways = {
  async working(w, page) { await go(page, w.https('site.test', '/form')); },
  async confirm(w, page) {
    await go(page, w.https('www.site.test', '/form'));
    await armed(page);
  },
  async 'redeem-large'(w, page) {
    await go(page, w.https('site.test', '/form'), 'x'.repeat(9000));
    await ready(page);
  },
  async 'redeem-elsewhere'(w, page) {
    await go(page, w.https('evil.test', '/form'));
    await ready(page);
  },
  async failed(w, page) {
    await page.context().setOffline(false);
    await go(page, w.https('evil.test', '/form'), undefined, async () => {
      await page.route('**/send', (route) => route.request().headers()['captcha-redeem'] ? route.abort() : route.continue());
    });
    await ready(page);
  },
  async stop(w, page) { await go(page, w.http('evil.test', '/insecure-form')); },
};

const expected = {working: 'submit', failed: 'redeem'};

// scripts that a way's visitor needs before the page's own.
export const init = (way) => way === 'working' ? [hold] : [];

async function go(page, url, text, before) {
  await before?.();
  await page.goto(url);
  if (text) await page.fill('[name=text]', text);
  await page.click('button', {noWaitAfter: true});
  await card(page).waitFor();
}

// reach brings a page of a fresh visitor to a kind of page, and checks that it is that.
export async function reach(w, t, way, options = {}) {
  const page = await w.visitor(t, {init: init(way), ...options});
  await ways[way](w, page);
  const want = expected[way] ?? way.split('-')[0];
  if (await kind(page) !== want) throw new Error(`the page is ${await kind(page)}, not ${want}`);
  return page;
}
