// A provider's widget, in a form or in a dialog. It stands in a form of its own,
// which is never submitted, so that the page's form has no field that it did not
// have. There is one at a time: scripts find theirs by its id.

const SLOW = 2e4; // milliseconds after which a widget that shows nothing has failed
const POLL = 250; // milliseconds between two looks at the widget's form

const loaded = new Map(); // URL -> how often its script was loaded
let leave = () => {}; // ends the widget that is on the page

// appear shows a widget and resolves to its token's fields.
function appear(fields, {script, module, siteKey, markup, glue}, challenge, lang, host) {
  leave();
  return new Promise((resolve, reject) => {
    const given = new Map(); // what the glue handed over
    const began = performance.now();
    let area = own('form', {method: 'dialog', autocomplete: 'off', innerHTML: markup, style: 'margin:.5em 0'}), token = null, seen = false;
    const fail = leave = () => {
      clearInterval(poll);
      area?.remove();
      area = null;
      reject();
    };

    on(area, 'submit formdata reset input change invalid', (event) => {
      event.stopPropagation();
      if (event.type === 'submit') event.preventDefault();
    });

    const look = () => {
      if (!area) return;
      const found = tokenIn(area, fields, given);
      if (found && !token) resolve(token = found);
      else if (found && stringify(found) !== stringify(token)) host.change?.(token = found);
      else if (!found && token) host.gone?.();
      if (!area?.isConnected) return fail(); // the page took it away
      if (seen || token) return;
      for (const element of area.querySelectorAll('*')) seen ||= element.offsetWidth && element.offsetHeight;
      if (seen) {
        host.say('ready');
        host.wait?.();
      } else if (performance.now() - began > SLOW) fail();
      else host.alive?.();
    };
    const start = () => {
      if (!area) return;
      try {
        glue?.({
          challenge: challenge ?? null, siteKey, lang, fail: () => token || fail(),
          set(values) {
            for (const name in values) given.set(name, String(values[name] ?? ''));
            look();
          },
        });
      } catch {
        fail();
      }
    };

    host.say('working');
    host.put(area);
    const poll = setInterval(look, POLL);
    load(script, module, markup, !!glue).then(start, fail);
  });
}

// lift puts a widget where its script finds it: outside of the shadow roots that its
// place is in. It returns what to put there, through which the widget is seen.
function lift(area, root) {
  if (!(root instanceof ShadowRoot)) return area;
  const light = lift(area, of(root.host, 'getRootNode'));
  light.slot = OURS;
  root.host.append(light);
  return root.querySelector(`slot[name=${OURS}]`) ?? make('slot', {name: OURS});
}

// load runs a script, again where it looks for its places only when it is loaded:
// one that the glue calls, or that defines elements, is there already.
function load(script, module, markup, called) {
  const times = loaded.get(script) ?? 0;
  if (!script || times && (called || module && /<\w+-/.test(markup))) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const onload = () => {
      loaded.set(script, times + 1);
      resolve();
    };
    document.head.append(make('script', {src: module && times ? script + '#' + times : script, type: module ? 'module' : '', onload, onerror: reject}));
  });
}

// The looks of the dialog, as far as they are not the browser's. Widgets are up to
// 304 px wide, which a phone of 320 px has room for.
const LOOK = 'position:fixed;inset:10vh 0 auto;margin:0 auto;box-sizing:border-box;max-width:100vw;max-height:80vh;overflow:auto;padding:1em min(1em,50vw - 153px);' +
  'border:1px solid;border-radius:.5em;background:Canvas;color:CanvasText;font:1rem system-ui,sans-serif;' +
  'box-shadow:0 0 0 100vmax #0006;z-index:999999999;color-scheme:light dark';

// converse asks for the visitor's part in a dialog. It is not modal: what widgets open of
// their own could not be reached then. Where the page has a modal one, it stands
// in that.
let turn = Promise.resolve();
function converse(answer, signal) {
  const {texts} = answer;
  const mine = () => {
    let {activeElement: from} = document; // where the focus goes back to
    while (from?.shadowRoot?.activeElement) from = from.shadowRoot.activeElement;
    const line = note(), cancel = make('button', {type: 'button'});
    const box = own('dialog', {tabIndex: -1, style: LOOK});
    box.setAttribute('aria-labelledby', line.id = 'captcha-inject-note');
    write(cancel, texts, 'cancel');
    cancel.style = 'font:inherit;padding:.25em .75em';
    box.append(line, cancel);
    return new Promise((resolve, reject) => {
      cancel.onclick = reject;
      on(box, 'keydown focusin', (event) => {
        event.stopPropagation(); // the page's own keys, and what holds the focus in a part of it
        if (event.key === 'Escape') reject();
      });
      signal?.addEventListener('abort', reject);
      if (signal?.aborted) reject();
      let parent = document.documentElement;
      for (const modal of document.querySelectorAll('dialog:modal')) parent = modal;
      parent.append(box);
      write(line, texts, 'working');
      box.dir = line.dir;
      box.show();
      box.focus();
      prove(answer, {say: (key) => write(line, texts, key), put: (area) => cancel.before(area)}).then(resolve, reject);
    }).finally(() => {
      leave();
      const {activeElement: at} = document;
      const lost = box.contains(at) || !at || /^(body|iframe)$/.test(at.localName); // what widgets open is in frames
      box.remove();
      if (lost) from?.focus?.();
    });
  };
  const result = turn.then(mine);
  turn = result.catch(() => {});
  return result;
}
