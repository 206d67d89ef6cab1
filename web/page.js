// The page: has the check made, then does what the page's kind asks for. The
// check stands before this, in the same function: pow.js's or widget.js's.

const $ = (name) => document.getElementById('captcha-' + name);
const data = JSON.parse($('data').textContent);
const {kind, text} = data;
const here = location.origin + location.pathname + location.search;
const [status, progress, button] = [$('status'), $('progress'), $('button')];

const ARMED = 500; // visible milliseconds before a button that sends does so
const PATIENCE = 2e4; // for an answer of the server
const LINGER = 1e4; // until a page that was sent and still stands offers a way back

let run = 0; // counts the attempts; what an older one still does is ignored
let sent = false;

// post asks the edge something; it answers at the page's own URL.
const post = (headers, body) => fetch(here, {
  method: 'POST', headers, body, credentials: 'same-origin', redirect: 'error', cache: 'no-store',
  signal: AbortSignal.timeout?.(PATIENCE),
});

// show says what is going on, the first text loudest, and offers what can be done.
function show(message, label, action) {
  const [first, ...more] = [message].flat();
  const spans = more.map((key) => Object.assign(document.createElement('span'), {textContent: ' ' + text[key]}));
  status.replaceChildren(text[first], ...spans);
  progress.hidden = message !== 'working' || !!data.widget;
  button.hidden = !label;
  button.disabled = !action;
  button.textContent = label ? text[label] : '';
  button.onclick = action || null;
}

// attempt has the check made and goes on with the token.
async function attempt(then) {
  const mine = ++run;
  try {
    const token = await check.token();
    await parsed;
    if (mine === run) await then(token);
  } catch {
    if (mine !== run) return;
    check.drop();
    settle();
    show('failed', 'retry', () => check.again(then));
  }
}

const parsed = new Promise((resolve) => {
  if (document.readyState !== 'loading') resolve();
  else document.addEventListener('DOMContentLoaded', resolve);
});

// fill leaves nothing in the form but these fields and the seal, which directly
// follows them: the edge looks for it there.
function fill(fields) {
  const form = $('form');
  form.replaceChildren(
    ...fields.map(([name, value]) => Object.assign(document.createElement('input'), {type: 'hidden', name, value})),
    form.querySelector('[name=captcha-seal]'),
  );
  for (const stray of form.elements) stray.disabled = !form.contains(stray);
  return form;
}

const submit = (fields) => HTMLFormElement.prototype.submit.call(fill(fields));

// Sends the form, once. "still-sending" is for answers that leave the page
// standing: a download, or none.
function send(token) {
  if (sent) return;
  sent = true;
  submit(token);
  check.drop();
  show('sending');
  const mine = run;
  setTimeout(() => {
    if (mine !== run) return;
    settle();
    show('still-sending', history.length > 1 && 'back', back);
  }, LINGER);
}

// The button of a form from elsewhere. A click that was meant for something
// which lay over the page must not hit it: time counts while it can be seen.
function ask(token) {
  show('confirm-ready', 'confirm-button', guarded(() => {
    const good = check.current(token);
    if (good) send(good);
    else attempt(send);
  }));
}

function guarded(action) {
  const visible = () => document.visibilityState === 'visible' && document.hasFocus();
  let since = visible() ? performance.now() : Infinity;
  const update = () => { since = visible() ? Math.min(since, performance.now()) : Infinity; };
  for (const event of ['focus', 'blur', 'visibilitychange']) addEventListener(event, update, true);
  return (event) => {
    update();
    if (event.isTrusted && performance.now() - since >= ARMED) action();
  };
}

async function redeem(token) {
  if (data.widget) show('working', 'back');
  const body = new URLSearchParams(new FormData(fill(token)));
  check.drop();
  const type = 'application/x-www-form-urlencoded';
  const response = await post({'Content-Type': type, 'Captcha-Redeem': '1'}, body.toString());
  if (response.status !== 204) throw new Error('not redeemed');
  if (history.length > 1) show('redeem-ready', 'back', back);
  else show('redeem-tab');
}

const back = () => history.back();
const finish = {submit: send, confirm: ask, redeem}[kind];

// A page that comes back from the browser's memory has an old challenge, and may
// have sent its form.
addEventListener('pageshow', ({persisted}) => {
  if (!persisted) return;
  if (!sent) {
    check.drop();
    check.resume(finish);
    return;
  }
  run++;
  sent = false;
  check.drop();
  show('maybe-sent', kind === 'submit' ? 'send-again' : 'confirm-button', guarded(() => check.again(send)));
});

// settle lets the page count as loaded. Until its form is sent it counts as
// loading, so that the app's answer takes its place in the history: going back
// then leads to the visitor's form, not to the browser's question whether to
// send this page's again.
function hold() {
  const frame = Object.assign(document.createElement('iframe'), {hidden: true});
  document.body.append(frame);
  frame.contentDocument?.open();
  return () => { frame.contentDocument?.close(); frame.remove(); };
}
const settle = kind === 'submit' && !data.widget ? hold() : () => {};

const host = $('host');
if (host) host.textContent = location.host;
$('nojs').hidden = true;
$('live').hidden = false;
check.begin();
attempt(finish);
