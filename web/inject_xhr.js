// XMLHttpRequest. An object's listeners of ours come first, so that the page's
// hear nothing of the refused answer.

const calls = new WeakMap(); // XMLHttpRequest -> what was done with it
const XHR = XMLHttpRequest.prototype;
const {open, setRequestHeader, abort, send: transmit} = XHR;

// The phases of a call: first (sent), held (refused), again (being sent once
// more), over (everything is the page's).
const hear = (event) => {
  const {currentTarget: xhr, type} = event;
  const call = calls.get(xhr);
  if (!call || call.phase === 'over') return;
  try {
    if (call.phase === 'first') {
      if (xhr.readyState < 2) return;
      // getResponseHeader complains in the console of what another origin does not tell
      const header = (name) => new RegExp(`^${name}: *(.*)`, 'im').exec(xhr.getAllResponseHeaders())?.[1];
      call.phase = refused(xhr.status, xhr.responseURL, call.args[1], header) ? 'held' : 'over';
      if (call.phase === 'over') return;
    }
    if (call.phase === 'held' && !xhr.status) return void (call.phase = 'over'); // it broke off
    event.stopImmediatePropagation();
    if (call.phase === 'again' && type === 'loadstart') call.phase = 'over';
    if (call.phase === 'held' && type === 'loadend') resend(xhr, call);
  } catch {
    call.phase = 'over';
  }
};

// tell has the page hear what it was not to hear.
const tell = (xhr, ...types) => {
  for (const type of types) xhr.dispatchEvent(new ProgressEvent(type));
};

async function resend(xhr, call) {
  let value;
  try {
    const {captcha} = xhr.responseType === 'json' ? xhr.response : await new Response(xhr.response).json();
    value = await token(captcha, call.args[1], call.control.signal);
  } catch { // the page gets the answer as it is
  }
  if (calls.get(xhr) !== call || call.phase !== 'held') return; // the page uses it for something else
  if (!value) {
    call.phase = 'over';
    return tell(xhr, 'readystatechange', 'load', 'loadend');
  }
  call.phase = 'again';
  apply(open, xhr, call.args);
  call.headers.set(HEADER, value);
  for (const header of call.headers) apply(setRequestHeader, xhr, header);
  apply(transmit, xhr, [call.body]);
}

XHR.open = tap(open, (xhr, [method, url, ...more]) => {
  calls.get(xhr)?.control.abort();
  const args = [method, whole(url), ...more]; // the page may have another URL by then
  calls.set(xhr, {args, headers: new Headers(), phase: 'over', control: new AbortController()});
});

XHR.setRequestHeader = tap(setRequestHeader, (xhr, header) => calls.get(xhr)?.headers.append(...header));

XHR.send = tap(transmit, (xhr, [body]) => {
  const call = calls.get(xhr);
  const [method, , async = call.args.length < 3] = call.args;
  if (!async || SAFE.test(method)) return;
  call.body = keep(body);
  call.phase = 'first';
  spend(body);
});

XHR.abort = tap(abort, (xhr) => {
  const call = calls.get(xhr);
  const held = call?.phase === 'held' && xhr.readyState === 4;
  if (call) call.phase = 'over';
  call?.control.abort();
  return held && xhr;
}, (result, xhr) => tell(xhr, 'abort', 'loadend'));

window.XMLHttpRequest = new Proxy(XMLHttpRequest, {
  construct(target, args, made) {
    const xhr = Reflect.construct(target, args, made);
    on(xhr, 'loadstart readystatechange progress load loadend error abort timeout', hear);
    return xhr;
  },
});
