// A world for a test file: an app, a Caddy in front of it, a browser.
import {request as httpRequest} from 'node:http';
import {request as httpsRequest} from 'node:https';
import nodeTest, {after} from 'node:test';
import {startBrowser} from './browser.mjs';
import {freePort, start} from './caddy.mjs';
import {startUpstream} from './upstream.mjs';

// A test that hangs is a failure.
export const test = (name, fn) => nodeTest(name, {timeout: 90_000}, fn);

process.on('SIGTERM', () => process.exit(143));
process.on('SIGINT', () => process.exit(130));

// world starts everything. In the sites of the Caddyfile, {http} and {https} are
// the ports, and {app} is the app's address.
export async function world(sites, {browser = {}, pages = {}, hooks = true} = {}) {
  const ends = [];
  const close = async () => {
    for (const end of ends.reverse()) await end();
  };
  if (hooks) after(close);
  const app = await startUpstream();
  ends.push(() => app.close());
  Object.assign(app.pages, pages);
  const ports = {http: await freePort(), https: await freePort()};
  const fill = (text) => text.replaceAll('{http}', ports.http).replaceAll('{https}', ports.https).replaceAll('{app}', app.address);
  const caddy = await start(fill(sites), ports);
  ends.push(() => caddy.stop());
  const chromium = await startBrowser(browser);
  ends.push(() => chromium.close());

  return {
    app, caddy, ports, chromium, fill, close,
    https: (host, path = '') => `https://${host}:${ports.https}${path}`,
    http: (host, path = '') => `http://${host}:${ports.http}${path}`,

    // visitor opens a page in a fresh profile. What is wrong in it (exceptions,
    // violations of a policy) is in page.faults.
    async visitor(t, {init = [], ...options} = {}) {
      const context = await chromium.newContext({ignoreHTTPSErrors: true, ...options});
      t?.after(() => context.close());
      context.setDefaultTimeout(20_000);
      for (const script of init) await context.addInitScript(script);
      return this.open(context);
    },
    open: watched,
    request,
  };
}

// watched is a new page of a context that keeps what is wrong in it.
async function watched(context) {
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(error.message));
  page.on('console', (m) => {
    // our answers are 403; and on plain http Chromium has no use for the page's COOP header
    if (m.type() === 'error' && !/^(Failed to load resource|The Cross-Origin-Opener-Policy header has been ignored)/.test(m.text())) page.faults.push(m.text());
  });
  return page;
}

// request is a client without a browser.
function request(url, {method = 'GET', headers = {}, body} = {}) {
  const {protocol, hostname, port, pathname, search} = new URL(url);
  const send = protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const req = send({
      host: '127.0.0.1', servername: hostname, port, path: pathname + search, method, rejectUnauthorized: false, agent: false,
      headers: {Host: `${hostname}:${port}`, ...headers},
    }, async (res) => {
      const chunks = [];
      for await (const chunk of res) chunks.push(chunk);
      resolve({status: res.statusCode, headers: res.headers, text: Buffer.concat(chunks).toString()});
    });
    req.on('error', reject);
    req.end(body);
  });
}
