// The picture of the status page in the documentation (node status-picture.mjs):
// the real page, with a made-up day.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {startBrowser} from './lib/browser.mjs';
import {binary, root} from './lib/caddy.mjs';

const now = Date.now();
const ago = (minutes) => new Date(now - minutes * 60e3).toISOString();
const outage = (start, lasted, evidence, failedOver, drill = false) =>
  ({start: ago(start), end: lasted ? ago(start - lasted) : null, evidence, failed_over: failedOver, drill});
const provider = (id, name, state, since, more) => ({
  id, name, state, since: ago(since), reached: true, misconfigured: false, throttled_until: null, drill: false, bypass_check: 'poll',
  last_probe: {at: ago(0.07), ok: true, error: ''}, failed_over: 0, outages: [], ...more,
});
const actions = (...words) => ['unreachable', 'client_reported', 'provider_failover', 'throttled', 'misconfigured', 'widget_blocked'].map((situation, i) => {
  const [action, fallback = ''] = words[i].split('/');
  return {situation, action, fallback, for: '', then: '', until: null};
});
const timeout = 'unavailable: Post "https://api.hcaptcha.com/siteverify": context deadline exceeded';
const hcaptcha = provider('01', 'hcaptcha', 'down', 47, {
  last_probe: {at: ago(0.1), ok: false, error: timeout}, failed_over: 219,
  outages: [outage(910, 22, 'unavailable: 503 Service Unavailable', 61), outage(500, 10, 'drill', 3, true), outage(47, 0, timeout, 155)],
});
const turnstile = provider('02', 'turnstile', 'up', 1200);
const unreachable = {for: '2h0m0s', then: 'deny', until: ago(47 - 120)};
const first = actions('fallback/pow', 'fallback/pow', 'allow', 'fallback/pow', 'deny', 'deny');
Object.assign(first[0], unreachable);
const doc = {
  now: new Date(now).toISOString(), started: ago(1270), providers: [hcaptcha, turnstile],
  policies: [{directives: 2, mode: 'enforce', chain: [{name: 'hcaptcha', id: '01'}, {name: 'pow', id: ''}], situation: 'unreachable', actions: first}],
  store: {kind: 'memory', ok: true},
};

const server = spawn(await binary(), ['captcha', 'status', '--serve', '127.0.0.1:0'], {stdio: ['ignore', 'pipe', 'inherit']});
const chromium = await startBrowser();
try {
  const [url] = await once(createInterface(server.stdout), 'line');
  const page = await chromium.newPage({viewport: {width: 900, height: 600}});
  await page.route('**/status', (route) => route.fulfill({json: doc}));
  await page.goto(url);
  await page.locator('#outages table').waitFor();
  await page.screenshot({path: `${root}docs/status.png`, fullPage: true});
} finally {
  await chromium.close();
  server.kill('SIGINT');
}
