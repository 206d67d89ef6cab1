// XMLHttpRequest. An object's listeners of ours come first, so that the page's
// hear nothing of the refused answer.

const calls = new WeakMap(); // XMLHttpRequest -> what was done with it
const XHR = XMLHttpRequest.prototype;
const {open, setRequestHeader, abort, send: transmit} = XHR;
const HEARD = ['loadstart', 'readystatechange', 'progress', 'load', 'loadend', 'error', 'abort', 'timeout'];

// The phases of a call: first (sent), held (refused), again (being sent once
// more), over (everything is the page's).
const hear = (event) => {
  const {currentTarget: xhr, type} = event;
  const call = calls.get(xhr);
  if (!call || call.phase === 'over') return;
  try {
    if (call.phase === 'first' && xhr.readyState > 1 && refused(xhr.status, xhr.getResponseHeader('Captcha-Required'), xhr.getResponseHeader('Content-Type'))) {
      call.phase = 'held';
    }
    if (call.phase === 'first') return;
    if (call.phase === 'held' && !xhr.status) return void (call.phase = 'over'); // it broke off
    event.stopImmediatePropagation();
    if (call.phase === 'again' && type === 'loadstart') call.phase = 'over';
    if (call.phase === 'held' && type === 'loadend') resend(xhr, call);
  } catch {
    call.phase = 'over';
  }
};

async function problem({responseType, response}) {
  if (responseType === 'json') return response;
  if (responseType === 'blob') response = await response.text();
  if (responseType === 'arraybuffer') response = new TextDecoder().decode(response);
  return parse(response);
}

async function resend(xhr, call) {
  let value;
  try {
    const {captcha} = await problem(xhr);
    value = await until(call.control.signal, token(captcha, xhr.responseURL, call.control.signal));
  } catch { /* the page gets the answer as it is */ }
  if (calls.get(xhr) !== call || call.phase !== 'held') return; // the page uses it for something else
  if (!value) {
    call.phase = 'over';
    for (const type of ['readystatechange', 'load', 'loadend']) {
      xhr.dispatchEvent(type === 'readystatechange' ? new Event(type) : new ProgressEvent(type));
    }
    return;
  }
  call.phase = 'again';
  apply(open, xhr, call.args);
  for (const header of call.headers) if (header[0].toLowerCase() !== HEADER.toLowerCase()) apply(setRequestHeader, xhr, header);
  apply(setRequestHeader, xhr, [HEADER, value]);
  apply(transmit, xhr, [call.body]);
}

const first = (f, also) => new Proxy(f, {
  apply(f, self, args) {
    try {
      also(self, args);
    } catch { /* as without us */ }
    return apply(f, self, args);
  },
});

XHR.open = first(open, (xhr, args) => {
  calls.get(xhr)?.control.abort();
  calls.set(xhr, {args: [...args], headers: [], phase: 'over', control: new AbortController(), repeat: !SAFE.test(args[0]) && (args.length < 3 || !!args[2])});
});

XHR.setRequestHeader = first(setRequestHeader, (xhr, [name, value]) => {
  calls.get(xhr)?.headers.push([String(name), String(value)]);
});

XHR.send = first(transmit, (xhr, [body]) => {
  const call = calls.get(xhr);
  if (!call?.repeat) return;
  call.body = keep(body);
  call.phase = 'first';
  spend(body);
});

XHR.abort = new Proxy(abort, {
  apply(f, self, args) {
    const call = calls.get(self);
    const held = call?.phase === 'held' && self.readyState === 4;
    if (call) {
      call.phase = 'over';
      call.control.abort();
    }
    apply(f, self, args);
    if (held) for (const type of ['abort', 'loadend']) self.dispatchEvent(new ProgressEvent(type));
  },
});

window.XMLHttpRequest = new Proxy(XMLHttpRequest, {
  construct(target, args, made) {
    const xhr = Reflect.construct(target, args, made);
    for (const type of HEARD) on(xhr, type, hear);
    return xhr;
  },
});
