// A provider's widget, in a form or in a dialog. It stands in a form of its own,
// which is never submitted, so that the page's form has no field that it did not
// have. There is one at a time: scripts find theirs by its id.

const SLOW = 2e4; // milliseconds after which a widget that shows nothing has failed
const POLL = 250; // milliseconds between two looks at the widget's form

const loaded = new Map(); // URL -> how often its script was loaded
let leave = () => {}; // ends the widget that is on the page

// appear shows a widget and resolves to its token's fields.
function appear(fields, {script, module, siteKey, markup, glue}, challenge, host) {
  leave();
  return new Promise((resolve, reject) => {
    const given = new Map(); // what the glue handed over
    const began = performance.now();
    let area = make('form'), token = null, seen = false;
    const end = (error) => {
      clearInterval(poll);
      area?.remove();
      area = null;
      reject(error);
    };
    const fail = () => end(new Error('the widget cannot work'));
    leave = fail;

    area.method = 'dialog';
    area.autocomplete = 'off';
    area.setAttribute(OURS, '');
    area.style.margin = '.5em 0';
    area.innerHTML = markup;
    for (const type of ['submit', 'formdata', 'reset', 'input', 'change', 'invalid']) {
      on(area, type, (event) => {
        event.stopPropagation();
        if (type === 'submit') event.preventDefault();
      });
    }

    const look = () => {
      if (!area) return;
      const found = tokenIn(area, fields, given);
      if (found && !token) resolve(token = found);
      else if (found && stringify(found) !== stringify(token)) host.change(token = found);
      else if (!found && token) host.gone();
      if (!area?.isConnected) return end(new Error('the page took the widget away'));
      if (seen || token) return;
      for (const element of area.querySelectorAll('*')) seen ||= element.offsetWidth && element.offsetHeight;
      if (seen) {
        host.say(READY);
        host.alive(Infinity); // it waits for the visitor now
      } else if (performance.now() - began > SLOW) fail();
      else host.alive();
    };
    const start = () => {
      if (!area) return;
      try {
        glue?.({
          challenge: challenge ?? null, siteKey, lang: language(), fail: () => token || fail(),
          set(values) {
            for (const name in values) given.set(name, String(values[name] ?? ''));
            look();
          },
        });
      } catch {
        fail();
      }
    };

    host.say(WORKING);
    host.put(area);
    const poll = setInterval(look, POLL);
    load(script, module, markup, !!glue).then(start, fail);
  });
}

// load runs a script, again where it looks for its places only when it is loaded:
// one that the glue calls, or that defines elements, is there already.
function load(script, module, markup, called) {
  const times = loaded.get(script) ?? 0;
  if (!script || times && (called || module && /<\w+-/.test(markup))) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const element = make('script');
    element.src = module && times ? script + '#' + times : script;
    if (module) element.type = 'module';
    element.onload = () => {
      loaded.set(script, times + 1);
      resolve();
    };
    element.onerror = reject;
    document.head.append(element);
  });
}

// ask for the visitor's part in a dialog. It is not modal: what widgets open of
// their own could not be reached then. Where the page has a modal one, it stands
// in that.
let turn = Promise.resolve();
function converse(answer, signal) {
  const mine = () => {
    const {activeElement} = document;
    const box = make('dialog'), line = note(), cancel = make('button');
    box.setAttribute(OURS, '');
    box.setAttribute('aria-labelledby', line.id = 'captcha-inject-note');
    box.tabIndex = -1;
    Object.assign(box.style, {
      position: 'fixed', inset: '10vh 0 auto', margin: '0 auto', boxSizing: 'border-box', maxWidth: '100vw', maxHeight: '80vh', overflow: 'auto',
      padding: '1em', border: '1px solid', borderRadius: '.5em', background: 'Canvas', color: 'CanvasText', font: '1rem system-ui, sans-serif',
      boxShadow: '0 0 0 100vmax #0006', zIndex: 1e9, colorScheme: 'light dark',
    });
    cancel.type = 'button';
    cancel.textContent = TEXTS[language()][CANCEL];
    cancel.lang = language();
    Object.assign(cancel.style, {font: 'inherit', padding: '.25em .75em'});
    box.append(line, cancel);
    return new Promise((resolve, reject) => {
      const stop = () => reject(new Error('cancelled'));
      cancel.onclick = stop;
      on(box, 'keydown', (event) => {
        event.stopPropagation(); // the page's own keys
        if (event.key === 'Escape') stop();
      });
      signal?.addEventListener('abort', stop);
      if (signal?.aborted) stop();
      let parent = document.documentElement;
      for (const modal of document.querySelectorAll('dialog:modal')) parent = modal;
      parent.append(box);
      write(line, WORKING);
      box.dir = line.dir;
      box.show();
      box.focus();
      prove(answer, {say: (key) => write(line, key), alive() {}, put: (area) => cancel.before(area), gone() {}, change() {}}).then(resolve, reject);
    }).finally(() => {
      leave();
      box.remove();
      activeElement?.focus?.();
    });
  };
  const result = turn.then(mine);
  turn = result.catch(() => {});
  return result;
}
