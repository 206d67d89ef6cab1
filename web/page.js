// The page: solves the puzzle, then does what the page's kind asks for.

(() => {
  const $ = (name) => document.getElementById('captcha-' + name);
  const data = JSON.parse($('data').textContent);
  const {kind, text} = data;
  const here = location.origin + location.pathname + location.search;
  const [status, progress, button] = [$('status'), $('progress'), $('button')];

  const ARMED = 500; // visible milliseconds before a button that sends does so
  const MARGIN = 15e3; // a puzzle that ends sooner is replaced before it is used
  const PATIENCE = 2e4; // for an answer of the server
  const LINGER = 1e4; // until a page that was sent and still stands offers a way back

  let run = 0; // counts the attempts; what an older one still does is ignored
  let sent = false;

  // The age of a puzzle in milliseconds, whatever the clock shows: one of the two
  // may stand still while the device sleeps.
  const now = () => [performance.now(), Date.now()];
  const age = (since) => Math.max(...now().map((t, i) => t - since[i]));
  let puzzle = {...data.challenge, since: now()};

  const expiring = () => data.lifetime > 0 && age(puzzle.since) > data.lifetime - Math.min(MARGIN, data.lifetime / 4);

  // post asks the edge something; it answers at the page's own URL.
  const post = (headers, body) => fetch(here, {
    method: 'POST', headers, body, credentials: 'same-origin', redirect: 'error', cache: 'no-store',
    signal: AbortSignal.timeout?.(PATIENCE),
  });

  async function renew() {
    puzzle = null; // should this fail, the next attempt asks again
    const response = await post({'Captcha-Request': 'challenge'});
    const {challenge} = await response.json();
    if (!response.ok || challenge.algorithm !== 'SHA-256') throw new Error('no puzzle');
    puzzle = {...challenge, since: now()};
  }

  // show says what is going on and offers what can be done.
  function show(message, label, action) {
    status.textContent = text[message];
    progress.hidden = message !== 'working';
    button.hidden = !label;
    button.disabled = !action;
    button.textContent = label ? text[label] : '';
    button.onclick = action || null;
  }

  // solved returns the token of a puzzle that is still good: one that was issued
  // too long ago, because the tab slept or the search took long, is replaced.
  async function solved() {
    if (!puzzle) await renew();
    for (let i = 0; ; i++) {
      const {algorithm, challenge, salt, signature} = puzzle;
      const start = performance.now();
      let drawn = 0;
      const number = await solve(puzzle, (share) => {
        if (performance.now() - drawn > 200) {
          progress.value = share;
          drawn = performance.now();
        }
      });
      const took = Math.round(performance.now() - start);
      if (i === 2 || !expiring()) return btoa(JSON.stringify({algorithm, challenge, number, salt, signature, took}));
      await renew();
    }
  }

  // attempt solves the puzzle and goes on with the token.
  async function attempt(then) {
    const mine = ++run;
    progress.value = 0;
    show('working', kind === 'redeem' && 'back');
    try {
      const token = await solved();
      await parsed;
      if (mine === run) await then(token);
    } catch {
      if (mine !== run) return;
      puzzle = null;
      show('failed', 'retry', () => attempt(then));
    }
  }

  const parsed = new Promise((resolve) => {
    if (document.readyState !== 'loading') resolve();
    else document.addEventListener('DOMContentLoaded', resolve);
  });

  // Sends the form, once. "still-sending" is for answers that leave the page
  // standing: a download, or none.
  function send(token) {
    if (sent) return;
    sent = true;
    const form = $('form');
    form.elements[0].value = token;
    HTMLFormElement.prototype.submit.call(form);
    puzzle = null;
    show('sending');
    const mine = run;
    setTimeout(() => mine === run && show('still-sending', history.length > 1 && 'back', back), LINGER);
  }

  // The button of a form from elsewhere. A click that was meant for something
  // which lay over the page must not hit it: time counts while it can be seen.
  function ask(token) {
    show('confirm-ready', 'confirm-button', guarded(() => expiring() ? attempt(send) : send(token)));
  }

  function guarded(action) {
    const seen = () => document.visibilityState === 'visible' && document.hasFocus();
    let since = seen() ? performance.now() : Infinity;
    const watch = () => { since = seen() ? Math.min(since, performance.now()) : Infinity; };
    for (const event of ['focus', 'blur', 'visibilitychange']) addEventListener(event, watch, true);
    return (event) => {
      watch();
      if (event.isTrusted && performance.now() - since >= ARMED) action();
    };
  }

  async function redeem(token) {
    const body = new URLSearchParams(new FormData($('form')));
    body.set($('form').elements[0].name, token);
    puzzle = null;
    const type = 'application/x-www-form-urlencoded';
    const response = await post({'Content-Type': type, 'Captcha-Redeem': '1'}, body.toString());
    if (response.status !== 204) throw new Error('not redeemed');
    if (history.length > 1) show('redeem-ready', 'back', back);
    else show('redeem-tab');
  }

  const back = () => history.back();
  const finish = {submit: send, confirm: ask, redeem}[kind];

  // A page that comes back from the browser's memory has an old puzzle, and may
  // have sent its form.
  addEventListener('pageshow', ({persisted}) => {
    if (!persisted) return;
    puzzle = null;
    if (!sent) return void attempt(finish);
    run++;
    sent = false;
    show('maybe-sent', kind === 'submit' ? 'send-again' : 'confirm-button', guarded(() => attempt(send)));
  });

  const host = $('host');
  if (host) host.textContent = location.host;
  $('nojs').hidden = true;
  $('live').hidden = false;
  attempt(finish);
})();
