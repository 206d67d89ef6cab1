// Forms: a token is made while the visitor fills one in, and sent with it.

const CLEAR = 3e5; // milliseconds for which a form that needs no token is left alone
const AGAIN = 1e4; // milliseconds until a failed attempt is repeated
const ASKED = 3e3; // milliseconds after which a second try to send is not a double click

// of is form.name, or calls it, also where an input of the form has that name.
function of(form, name, ...args) {
  const value = get(HTMLFormElement.prototype, name, form);
  return typeof value === 'function' ? apply(value, form, args) : value;
}

const parentOf = (node) => get(Node.prototype, 'parentNode', node);
const isOurs = (control) => control.hasAttribute?.(OURS);

const HOW = ['enctype', 'target', 'accept-charset', 'rel']; // attributes of forms

// target is where and how a form is sent, by a button of it or without one.
function target(form, submitter) {
  const say = (name) => submitter?.getAttribute('form' + name) ?? of(form, 'getAttribute', name);
  const to = {url: whole(say('action') || location.href), method: String(say('method')).toLowerCase()};
  for (const name of HOW) to[name] = say(name);
  return to;
}

// path is how a URL's path is compared.
function path({pathname}) {
  try {
    pathname = decodeURIComponent(pathname);
  } catch { // as it is
  }
  return pathname.replace(/\/+/g, '/');
}

// wanted reports whether a form is to get a token where it is sent. One that has
// a field of this name already has a widget of its own.
function wanted(form, to) {
  if (to.method !== 'post' || to.url.origin !== location.origin) return false;
  if (ACTIONS && !ACTIONS.test(path(to.url))) return false;
  let placed = false;
  for (const control of of(form, 'elements')) {
    if (isOurs(control)) placed = true;
    else if (NAMES[control.name]) return false;
  }
  return placed || !FORMS || of(form, 'matches', FORMS);
}

const entries = new WeakMap(); // form -> Entry
const live = new Set(); // the entries that have begun, the youngest last

// An Entry is what is known of one form.
class Entry {
  constructor(form) {
    this.form = form;
    this.run = 0; // counts the attempts; what an older one still does is ignored
  }

  // prepare resolves once there is a token, or none is needed.
  prepare(url) {
    if (this.job && !this.old()) return this.job;
    this.drop();
    live.add(this);
    this.heard = performance.now();
    const run = this.run;
    const job = this.make(url, run);
    job.catch(() => {
      if (run !== this.run) return;
      this.drop();
      this.failed = performance.now();
    });
    return this.job = job;
  }

  async make(url, run) {
    for (let i = 0; i < 3; i++) {
      const answer = await ask(url);
      await pressed;
      if (run !== this.run) return;
      this.texts = answer?.texts;
      const proof = answer ? await prove(answer, this.host(run)) : {fields: [], since: now(), lifetime: CLEAR};
      if (run !== this.run) return;
      this.proof = proof;
      if (!this.old()) break;
    }
    const {fields, since, lifetime} = this.proof;
    this.fill();
    if (fields.length) this.say('passed');
    if (lifetime) this.timer = setTimeout(() => this.pending || this.drop(), lifetime - Math.min(MARGIN, lifetime / 4) - age(since));
  }

  // host is what an attempt may do with the page around the form.
  host(run) {
    const mine = (f) => (value) => {
      if (run === this.run) f(value);
    };
    return {
      say: mine((key) => this.say(key)),
      alive: mine(() => { this.heard = performance.now(); }),
      wait: mine(() => { this.heard = Infinity; }), // for the visitor
      put: mine((area) => this.put(lift(this.area = area, of(this.form, 'getRootNode')))),
      gone: mine(() => this.drop()), // the widget has taken its token back
      change: mine((fields) => { this.proof.fields = fields; this.fill(); }),
    };
  }

  old() {
    return this.proof && stale(this.proof.since, this.proof.lifetime);
  }

  ready() {
    return this.proof && !this.old();
  }

  // inputs are ours in the form.
  * inputs() {
    for (const control of of(this.form, 'elements')) if (isOurs(control)) yield control;
  }

  // fill puts the token into the form: first, where the edge finds it soonest.
  fill() {
    for (const [name, value] of this.proof.fields) {
      let input;
      for (const own of this.inputs()) if (own.name === name) input = own;
      if (!input) of(this.form, 'prepend', input = own('input', {type: 'hidden', name}));
      Object.assign(input, {value, disabled: false});
    }
  }

  // mute keeps the token out of what is sent elsewhere, until it is undone.
  mute(muted) {
    for (const input of this.inputs()) if (input.value) input.disabled = muted;
  }

  // drop forgets everything: the token is spent, expired, or was never made.
  drop() {
    this.run++;
    this.job = this.proof = this.failed = null;
    clearTimeout(this.timer);
    live.delete(this);
    this.area?.remove();
    for (const input of this.inputs()) {
      input.disabled = true;
      input.removeAttribute('value');
    }
    this.say();
  }

  say(key) {
    if (!this.line?.isConnected) {
      if (key === undefined) return;
      this.put(this.line = note(), true);
    }
    write(this.line, this.texts, key);
  }

  // put places a node before or behind what the form's button stands in; not into
  // a row, where it would take the others' room.
  put(node, behind) {
    let at;
    for (const control of of(this.form, 'elements')) if (!at && control.type === 'submit' && control.getClientRects().length) at = control;
    if (!at) return of(this.form, 'append', node);
    while (of(this.form, 'contains', at.parentNode) && at.parentNode !== this.form) at = at.parentNode;
    for (let parent; (parent = parentOf(at)) instanceof Element; at = parent) {
      const {display, flexDirection, flexWrap} = getComputedStyle(parent);
      if (!/flex row.*nowrap/.test(`${display} ${flexDirection} ${flexWrap}`)) break;
    }
    apply(behind ? after : before, at, [node]);
  }

  // hold keeps what was to be sent until there is a token, or there will be none.
  hold(to, submitter) {
    const before = this.pending;
    this.pending = {to, data: snapshot(this.form, submitter), at: performance.now()};
    if (this.area?.isConnected) {
      this.area.scrollIntoView({block: 'nearest'});
      this.say();
      this.say('ready');
    }
    if (!before) this.finish(to.url);
    else if (this.heard === Infinity && performance.now() - before.at > ASKED) this.heard = -Infinity;
    else this.pending.at = before.at;
  }

  async finish(url) {
    this.heard = Math.max(this.heard ?? 0, performance.now());
    const job = this.prepare(url);
    const silence = new Promise((resolve) => {
      const look = () => performance.now() - this.heard > QUIET ? resolve() : setTimeout(look, 250);
      look();
    });
    try {
      await Promise.race([job, silence]);
    } catch { // the challenge page does it
    }
    const {pending} = this;
    this.pending = null;
    if (!pending) return;
    send(this.form, pending, this.ready() ? this.proof.fields : []);
    this.drop();
  }
}

const entryOf = (form) => {
  if (!entries.has(form)) entries.set(form, new Entry(form));
  return entries.get(form);
};

// snapshot is what a form would send now, without our own fields.
function snapshot(form, submitter) {
  const data = new FormData(form, submitter);
  if (submitter?.name && submitter.type === 'submit' && !data.has(submitter.name)) data.append(submitter.name, submitter.value);
  for (const name in NAMES) data.delete(name);
  return data;
}

// send sends what was held, the token first. A form of its own does it: the page
// may have emptied or disabled the fields of its own since, and has had its event.
function send(form, {to, data}, fields) {
  const copy = make('form', {hidden: true, action: to.url, method: 'post'});
  for (const name of HOW) if (to[name] !== null) copy.setAttribute(name, to[name]);
  for (const [name, value] of [...fields, ...data]) {
    const text = typeof value === 'string';
    const input = make('input', text ? {type: 'hidden', name, value} : {type: 'file', name});
    if (!text && (value.name || value.size)) {
      const data = new DataTransfer();
      data.items.add(value);
      input.files = data.files;
    }
    of(copy, 'append', input);
  }
  document.documentElement.append(copy);
  apply(submit, copy, []);
  setTimeout(() => of(copy, 'remove'));
}

// pressed resolves while no button or finger is down: what moves under it then
// would not be clicked.
let pressed;
const press = () => {
  pressed = new Promise((resolve) => {
    on(window, 'pointerup pointercancel', () => setTimeout(resolve, 50), {capture: true, once: true});
  });
};

// contact is the visitor's first act in a form. Focus that the page set while it
// loaded is none.
const contact = guard((event) => {
  if (event.type === 'pointerdown') press();
  else if (navigator.userActivation?.hasBeenActive === false) return;
  const [node] = event.composedPath();
  let {form} = node;
  if (!(form instanceof HTMLFormElement)) form = node.closest?.('form');
  if (!form) return;
  listen(of(form, 'getRootNode'));
  const to = target(form);
  if (!wanted(form, to)) return;
  const entry = entryOf(form);
  if (entry.failed && performance.now() - entry.failed < AGAIN) return;
  if (!entry.pending) entry.prepare(to.url);
});

// submitted makes us the last to hear of a form's submission, wherever it ends.
const submitted = guard((event) => {
  if (!event.isTrusted) return;
  for (const node of event.composedPath()) {
    apply(removeEventListener, node, ['submit', last]);
    on(node, 'submit', last, {once: true});
  }
});

const last = guard((event) => {
  const {target: form, currentTarget, submitter} = event;
  const ends = currentTarget === window || currentTarget instanceof ShadowRoot || event.cancelBubble;
  if (!ends && !(parentOf(currentTarget) instanceof HTMLFormElement)) return; // in a form within another the event ends
  if (event.defaultPrevented) return; // the page does it
  const to = target(form, submitter);
  const entry = entryOf(form);
  if (!wanted(form, to)) {
    entry.mute(true);
    setTimeout(() => entry.mute(false));
  } else if (!entry.pending && entry.ready()) {
    entry.fill();
    setTimeout(() => event.defaultPrevented || entry.drop()); // spent
  } else {
    event.preventDefault();
    event.preventDefault = () => { entry.pending = null; }; // by a listener that was added only now
    try {
      entry.hold(to, submitter);
    } catch {
      apply(submit, form, []);
    }
  }
});

function listen(root) {
  on(root, 'focusin input pointerdown', contact, {capture: true, passive: true});
  on(root === document ? window : root, 'submit', submitted, true);
}

function begin() {
  listen(document);
  on(window, 'pageshow', back);
}

// A page from the browser's memory has old tokens.
const back = guard(({persisted}) => {
  if (!persisted) return;
  for (const entry of [...live]) {
    entry.pending = null;
    entry.drop();
  }
});

begin();
new MutationObserver(begin).observe(document, {childList: true}); // document.open removes all listeners

Element.prototype.attachShadow = tap(attachShadow, () => true, (root) => {
  listen(root);
  return root;
});
