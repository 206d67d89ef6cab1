// The script in the app's own pages. This file has what all its parts need: the
// edge's challenges, their tokens, and the line that says how it goes. Above it in the same
// function stands the solver, for which workers run this text too.

const MARK = Symbol.for('captcha-inject');
if (typeof document === 'undefined' || globalThis[MARK]) return;
Object.defineProperty(globalThis, MARK, {value: true});

// What the page may replace later, taken now.
const {
  AbortController, Blob, DataTransfer, Element, FormData, HTMLFormElement, Headers, Map, MutationObserver, Promise, Request, Response, ShadowRoot,
  URL, URLSearchParams, Worker, XMLHttpRequest, fetch, setTimeout,
} = globalThis;
const {stringify} = JSON;
const {apply, get} = Reflect;
const {addEventListener, removeEventListener} = EventTarget.prototype;
const {attachShadow, after, before} = Element.prototype;
const {submit} = HTMLFormElement.prototype;
// Names of the page's forms hide what document has under these names.
const source = get(Document.prototype, 'currentScript', document).textContent;
const create = Document.prototype.createElement.bind(document);
const whole = (url) => new URL(url, document.baseURI);
const make = (tag, properties) => Object.assign(create(tag), properties);

// on listens to events, whose types stand between spaces.
const on = (node, types, listener, options) => {
  for (const type of types.split(' ')) apply(addEventListener, node, [type, listener, options]);
};

// guard lets a page go on as it would without us where we fail.
const guard = (f) => (event) => {
  try {
    f(event);
  } catch { // as without us
  }
};

// tap is a function that lets us see its calls before it gets them. What we make
// of one, if anything, has a say in what is returned.
const tap = (f, before, after) => new Proxy(f, {
  apply(f, self, args) {
    let seen;
    try {
      seen = before(self, args);
    } catch { // as without us
    }
    const result = apply(f, self, args);
    return seen ? after(result, seen) : result;
  },
});

const OURS = 'data-captcha-inject';
const QUIET = 8e3; // milliseconds without a sign of life after which a form is sent as it is

// own makes an element that is known as ours.
function own(tag, properties) {
  const element = make(tag, properties);
  element.setAttribute(OURS, '');
  return element;
}

// note makes a line that is read out when its text changes.
function note() {
  const line = own('div', {style: 'font-size:.875em'});
  line.setAttribute('role', 'status');
  return line;
}

// write shows one of the texts that came with a challenge, or nothing.
function write(line, texts, key) {
  const {lang = '', dir = '', [key]: textContent = ''} = texts ?? {};
  Object.assign(line, {lang, dir, textContent});
  line.style.margin = textContent && '.5em 0';
}

// ask gets the challenge that a post to a URL needs, with texts in the page's
// language, else the visitor's; null where it needs none.
async function ask(url) {
  let languages = '';
  for (const tag of [document.documentElement.lang, ...navigator.languages]) if (/^[\w-]+$/.test(tag)) languages += tag + ',';
  const answer = await fetch(url, {
    method: 'POST', headers: {'Captcha-Request': 'challenge', 'Accept-Language': languages},
    credentials: 'same-origin', redirect: 'error', cache: 'no-store', signal: AbortSignal.timeout?.(QUIET),
  });
  if (answer.status === 204) return null;
  const {cleared, provider, challenge, texts} = await answer.json();
  return cleared ? null : {provider, challenge, texts, served: Date.parse(answer.headers.get('Date'))};
}

// prove solves a challenge. Everything but the challenge itself is our own. The
// host, if any, shows what is going on: say, alive, put.
async function prove({provider, challenge, texts, served}, host) {
  const {fields, widget} = PROVIDERS[provider]; // else it was no challenge
  if (widget) return {provider, fields: await appear(fields, widget, challenge, texts?.lang, host)};
  const {algorithm, maxnumber, salt} = challenge;
  if (algorithm !== 'SHA-256' || !(maxnumber < 2 ** 31)) throw new Error('no puzzle');
  const since = now();
  host?.say('working');
  const token = await payload(challenge, host?.alive ?? Object, source);
  const end = 1e3 * new URLSearchParams(salt.split('?')[1]).get('expires');
  return {provider, fields: [[fields[0], token]], since, lifetime: end && Math.max(1, end - (served || Date.now()))};
}
