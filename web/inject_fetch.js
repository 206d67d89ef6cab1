// fetch and XMLHttpRequest: a request that the edge refuses for want of a token is
// sent again with one, once. The page sees the last answer only.

const SAFE = /^(GET|HEAD|OPTIONS|TRACE)$/i;

// refused reports whether an answer is the edge's, to a request that needs a token.
// One that was sent on elsewhere is not: its first address gets no token.
const refused = (status, from, to, header) => /^(403|413|415)$/.test(status) && whole(from).origin === to.origin &&
  header('Captcha-Required') && /^application\/problem\+json/i.test(header('Content-Type'));

// keep is a body as it is now: the page may go on using its own.
function keep(body) {
  if (body instanceof URLSearchParams) return new URLSearchParams(body);
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return new Blob([body]);
  if (!(body instanceof FormData)) return body;
  const copy = new FormData();
  for (const [name, value] of body) copy.append(name, value);
  return copy;
}

// spend drops the token of a form that the page sends by itself.
function spend(body) {
  for (const entry of [...live]) {
    const [name, value] = entry.proof?.fields[0] ?? [];
    if (!value) continue;
    if (typeof body === 'string' ? body.includes(value) || body.includes(encodeURIComponent(value)) : body?.get?.(name) === value) entry.drop();
  }
}

// token is a token for a refused request, as a header's value; undefined where
// there is none.
async function token(captcha, url, signal) {
  const same = url.origin === location.origin;
  const {widget} = PROVIDERS[captcha.provider];
  if (widget && !same) return undefined;
  let entry;
  for (const one of live) if (same && one.ready() && one.proof.provider === captcha.provider) entry = one;
  const made = entry?.proof; // by the visitor, in the form that is behind this
  entry?.drop();
  const {fields} = made ?? await (widget ? converse(captcha, signal) : prove(captcha));
  if (fields.length === 1) return fields[0][1];
  return btoa(stringify(Object.fromEntries(fields))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

// repeatable returns a function that sends the request of a call of fetch again
// with a token; nothing where that cannot be.
function repeatable([input, init]) {
  const request = input instanceof Request ? input : null;
  const options = {};
  for (const name in init) options[name] = init[name]; // also what it inherits
  if (SAFE.test(options.method ?? request?.method ?? 'GET') || options.body instanceof ReadableStream) return undefined;
  const url = whole(request?.url ?? input); // the page may have another one by then
  const copy = !request ? url : options.body ? input : input.clone();
  const body = keep(options.body);
  spend(body);
  const signal = options.signal ?? request?.signal;
  return {
    signal, url,
    again(value) {
      const headers = new Headers(options.headers ?? request?.headers);
      headers.set(HEADER, value);
      return fetch(copy, {...options, headers, ...body != null && {body}});
    },
  };
}

async function carry(first, {signal, url, again}) {
  const answer = await first;
  let value;
  try {
    if (!refused(answer.status, answer.url, url, (name) => answer.headers.get(name))) return answer;
    const {captcha} = await answer.clone().json();
    const lost = new Promise((_, reject) => signal?.addEventListener('abort', reject)); // the page's interest
    value = await Promise.race([token(captcha, url, signal), lost]);
  } catch { // the page gets the answer as it is
  }
  if (signal?.aborted) throw signal.reason;
  return value ? again(value) : answer;
}

window.fetch = tap(fetch, (self, args) => repeatable(args), carry);
