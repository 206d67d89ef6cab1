// fetch and XMLHttpRequest: a request that the edge refuses for want of a token is
// sent again with one, once. The page sees the last answer only.

const SAFE = /^(GET|HEAD|OPTIONS|TRACE)$/i;

// refused reports whether an answer is the edge's, to a request that needs a token.
const refused = (status, required, type) => (status === 403 || status === 413 || status === 415) && required && /^application\/problem\+json/i.test(type);

// keep is a body as it is now: the page may go on using its own.
function keep(body) {
  if (body instanceof URLSearchParams) return new URLSearchParams(body);
  if (body instanceof ArrayBuffer) return body.slice(0);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice();
  if (!(body instanceof FormData)) return body;
  const copy = new FormData();
  for (const [name, value] of body) copy.append(name, value);
  return copy;
}

// spend drops the token of a form that the page sends by itself.
function spend(body) {
  for (const entry of [...live]) {
    const [field] = entry.proof?.fields ?? [];
    if (!field) continue;
    const [name, value] = field;
    if (typeof body === 'string' ? body.includes(value) || body.includes(encodeURIComponent(value)) : body?.get?.(name) === value) entry.drop();
  }
}

// token is a token for a refused request, as a header's value; undefined where
// there is none.
async function token(captcha, url, signal) {
  const same = new URL(url, location).origin === location.origin;
  const known = PROVIDERS[captcha.provider];
  let proof;
  for (const entry of live) if (same && entry.ready() && entry.proof.provider === captcha.provider) proof = entry;
  if (proof) {
    const entry = proof;
    proof = entry.proof; // the visitor has made it in the form that is behind this
    entry.drop();
  } else if (!known.widget) proof = await prove(captcha, {say() {}, alive() {}});
  else if (same) proof = await converse(captcha, signal);
  else return undefined;
  const {fields} = proof;
  if (fields.length === 1) return fields[0][1];
  const all = {};
  for (const [name, value] of fields) all[name] = value;
  return btoa(stringify(all)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

// until rejects when the page has lost interest.
const until = (signal, promise) => !signal ? promise : Promise.race([promise, new Promise((_, reject) => {
  if (signal.aborted) reject(signal.reason);
  signal.addEventListener('abort', () => reject(signal.reason));
})]);

// repeatable returns a function that sends the request of a call of fetch again
// with a token; nothing where that cannot be.
function repeatable([input, init]) {
  const request = input instanceof Request;
  if (SAFE.test(init?.method ?? (request ? input.method : 'GET'))) return undefined;
  if (init?.body instanceof ReadableStream) return undefined;
  const copy = request && !init?.body ? input.clone() : input;
  const body = keep(init?.body);
  spend(body);
  const signal = init?.signal ?? (request ? input.signal : undefined);
  return {
    signal,
    again(value) {
      const headers = new Headers(init?.headers ?? (request ? input.headers : undefined));
      headers.set(HEADER, value);
      return fetch(copy, {...init, headers, ...body != null && {body}});
    },
  };
}

async function carry(first, {signal, again}) {
  const answer = await first;
  let value;
  try {
    if (!refused(answer.status, answer.headers.get('Captcha-Required'), answer.headers.get('Content-Type'))) return answer;
    const {captcha} = await answer.clone().json();
    value = await until(signal, token(captcha, answer.url, signal));
  } catch { /* the page gets the answer as it is */ }
  if (signal?.aborted) throw signal.reason;
  return value ? again(value) : answer;
}

window.fetch = new Proxy(fetch, {
  apply(f, self, args) {
    let request;
    try {
      request = repeatable(args);
    } catch { /* as without us */ }
    const first = apply(f, self, args);
    return request ? carry(first, request) : first;
  },
});
