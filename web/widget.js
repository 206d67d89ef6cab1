'use strict';
// The check is made by a provider's widget. It stands in a form of its own, which
// is never submitted: what it puts there is copied, and only the token's fields.

const SLOW = 2e4; // milliseconds after which a widget that shows nothing is missed
const POLL = 250; // milliseconds between two looks at the widget's form
const TELL = 8e3; // for reading that another check follows

const {nonce} = document.currentScript;
const area = document.getElementById('captcha-widget');

const given = new Map(); // what the glue handed over
let look = () => {}; // looks for the token
let done = false; // the token is there
let began = 0; // when the script's loading began
let ran = false; // the script was loaded
let seen = false, slow = false, failed = false; // what was shown of it
let timer = 0;
let left = false; // the page was left without a token

const current = () => tokenIn(area, data.fields, given);

function load() {
  began = performance.now();
  seen = slow = failed = false;
  show('widget-loading');
  const {script: src, module} = data.widget;
  if (!src) return start(); // the glue loads it
  const element = document.createElement('script');
  element.src = src;
  if (module) element.type = 'module';
  element.async = true;
  element.nonce = nonce;
  element.onload = start;
  element.onerror = fail;
  document.head.append(element);
}

function start() {
  ran = true;
  try {
    captchaGlue({
      challenge: data.challenge, siteKey: data.widget.siteKey, lang: data.widget.lang, fail,
      set(fields) {
        for (const [name, value] of Object.entries(fields)) given.set(name, String(value ?? ''));
        look();
      },
    });
  } catch (error) {
    console.error(error);
    fail();
  }
}

// Says what the widget does, until it can be seen.
function watch() {
  if (seen || failed || left) return;
  seen = ran && [...area.querySelectorAll('*')].some((e) => e.offsetWidth && e.offsetHeight);
  if (seen) return show('widget-ready');
  if (slow || performance.now() - began < SLOW) return;
  slow = true;
  if (data.widget.fallback) show(['widget-slow', 'widget-help'], 'widget-other', other);
  else show(['widget-slow', 'widget-help'], 'retry', retry);
}

function fail() {
  if (done || failed) return;
  failed = true;
  area.hidden = !ran;
  if (!data.widget.fallback) return show(['widget-blocked', 'widget-help'], 'retry', retry);
  show(['widget-blocked', 'widget-next', 'widget-help'], 'retry', retry);
  timer = setTimeout(other, TELL);
}

// A new page with the same form has a new challenge, and loads the script anew.
// By that the edge learns that this one could not be solved, and looks whether
// it is the provider that is down.
const anew = () => leave([], 'widget-loading');
const retry = anew;
// The edge answers this with the challenge of another provider.
const other = () => leave([['captcha-blocked', '1']], 'widget-next');

async function leave(fields, message) {
  left = true;
  show(message);
  clearTimeout(timer);
  timer = setTimeout(stuck, LINGER);
  await parsed;
  submit(fields);
}

const stuck = () => show('failed', 'retry', anew);

const check = {
  begin: load,

  token: () => new Promise((resolve) => {
    done = false;
    if (seen) show('widget-ready');
    look = () => {
      const token = !done && current();
      if (!token) return;
      done = true;
      failed = false;
      observer.disconnect();
      clearInterval(poll);
      clearTimeout(timer);
      resolve(token);
    };
    const observer = new MutationObserver(() => look());
    observer.observe(area, {subtree: true, childList: true, attributes: true});
    const poll = setInterval(() => {
      look();
      if (!done) watch();
    }, POLL);
    look();
  }),

  current,
  again: anew,

  // Back from the browser's memory, the widget goes on where it was.
  resume() {
    clearTimeout(timer);
    if (left) stuck();
  },

  drop() {},
};
