// Friendly Captcha, version 2: siteverify, and stand-ins for the frames in which its
// solver is. The SDK, and where it comes from, are as they are.
import assert from 'node:assert/strict';
import {npm} from './providers.mjs';

// friendly is siteverify. Its responses are those of the frames.
export function friendly({secret, siteKey, hostname}) {
  const spent = new Set();
  return (r) => {
    assert.equal(r.method, 'POST');
    assert.equal(r.path, '/api/v2/captcha/siteverify');
    if (r.headers['x-api-key'] !== secret) return {status: 401, json: {success: false, error: {error_code: 'auth_invalid', detail: ''}}};
    const {response, sitekey, ...more} = JSON.parse(r.body);
    assert.deepEqual(more, {});
    assert.equal(sitekey, siteKey);
    if (!/^frc-[0-9a-f-]{36}$/.test(response) || spent.has(response)) return {json: {success: false, error: {error_code: 'response_invalid', detail: ''}}};
    spent.add(response);
    return {json: {success: true, data: {event_id: 'ev_1', challenge: {timestamp: new Date().toISOString(), origin: hostname}}}};
  };
}

const frame = (script) => `<!doctype html><title>frame</title><body><script>
const q = new URLSearchParams(location.search);
const tell = (message) => parent.postMessage({_frc: 1, ...message}, '*');
${script}</script>`;
const frames = {
  // what is behind the widgets: it answers their triggers
  agent: frame(`
addEventListener('message', ({data}) => {
  if (data.type !== 'root_trigger_widget' && data.type !== 'widget_trigger') return;
  tell({type: 'root_set_response', from_id: q.get('comm_id'), to_id: '', widget_id: data.from_id, state: 'completed', response: 'frc-' + crypto.randomUUID(), mode: 'noninteractive'});
});
tell({type: 'agent_announce', from_id: q.get('comm_id'), to_id: ''});`),
  widget: frame(`
document.body.innerHTML = '<button id="start">I am human</button>';
document.getElementById('start').onclick = () => tell({type: 'widget_trigger', from_id: q.get('comm_id'), to_id: q.get('agent_id'), state: 'unactivated'});
tell({type: 'widget_announce', from_id: q.get('comm_id'), to_id: q.get('agent_id'), sitekey: q.get('sitekey'), lang: q.get('lang'), mode: 'interactive', signals: null});`),
};

// befriend gives a page the SDK and its frames. These may be given otherwise.
export async function befriend(page, other) {
  await page.route('https://cdn.jsdelivr.net/npm/@friendlycaptcha/sdk@1.0.2/site.min.js*', (route) => route.fulfill({
    contentType: 'text/javascript', headers: {'Access-Control-Allow-Origin': '*'}, body: npm('@friendlycaptcha/sdk/site.min.js'),
  }));
  const serve = (route) => route.fulfill({
    contentType: 'text/html', body: new URL(route.request().url()).pathname.endsWith('/agent') ? frames.agent : frames.widget,
  });
  await page.route(/^https:\/\/global\d?\.frcapi\.com\/api\/v2\/captcha\//, (route) => other ? other(route, serve) : serve(route));
}

// start does the visitor's part.
export const start = (page) => page.frameLocator('.frc-captcha iframe').locator('#start').click();
