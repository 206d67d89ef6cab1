// Promise 2: what the app reads in a body is what the edge has verified.
//
// The bodies are spelled so that some parser may read another token than the
// edge. Each is refused, or read alike by parsers that real apps use. Bodies longer
// than max_buffer are not among them: there the edge does not look behind the token.
import assert from 'node:assert/strict';
import {Readable} from 'node:stream';
import busboy from 'busboy';
import {formidable} from 'formidable';
import qs from 'qs';
import {solve} from './lib/token.mjs';
import {test, world} from './lib/world.mjs';

const w = await world(`
https://site.test:{https} {
	tls internal
	captcha {
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}
}`);
const url = w.https('site.test', '/send');

const form = 'application/x-www-form-urlencoded';
const multi = 'multipart/form-data; boundary=B';
const lines = (...all) => all.join('\r\n') + '\r\n';
const field = (name, value) => lines('--B', `Content-Disposition: form-data; name=${name}`, '', value);

// T is the token. true is a body that must arrive and be read; the others may.
const bodies = [
  [form, 'a=1&altcha=T&b=x%20y', true], [form, '%61ltcha=T', true], [form, 'altcha=T&altcha=T', true], [form, 'stra\xdfe=\xa6\xbd&altcha=T', true],
  ...[
    'altcha=U&', 'altcha[]=U&', 'altcha%5B0%5D=U&', '[altcha]=U&', 'altcha%00=U&', '+altcha=U&', '.altcha=U&', 'x;altcha=U&', '?altcha=U&', '?x&altcha=U&',
    'Altcha=U&', '\xe1ltcha=U&', 'altcha\xbdU&', 'x=1\xa6altcha=U&', 'x=1\xa6altcha\xbdU&', '__proto__[altcha]=U&', 'altcha%=U&', 'alt%63ha=U&', 'x=]=altcha&',
  ].flatMap((pair) => [[form, pair + 'altcha=T'], [form, `altcha=T&${pair}`]]),
  [multi, field('"altcha"', 'T') + '--B--\r\n', true], [multi, field('altcha', 'T') + '--B--', true], [multi, '\r\n' + field('"altcha"', 'T') + '--B--\r\n', true],
  ...[
    field('"altcha"', 'U'), field('"altcha"; name="x"', 'U'), field('"x"; name="altcha"', 'U'), field('"altcha[]"', 'U'), field('"alt\\cha"', 'U'),
    field('"altcha%00"', 'U'), field('\'altcha\'', 'U'), field('altcha}', 'U'), field('altcha=;x=y', 'U'), field('"x"; name*=utf-8\'\'altcha', 'U'),
    field('"x; name*=utf-8\'\'altcha', 'U'), field('"x"; filename="\\"; name=altcha; x=\\""', 'U'), field('"altcha"; filename=""', 'U'),
    field('"x"', `x${field('"altcha"', 'U')}`), field('"x"', `\n${field('"altcha"', 'U')}`), field('"x"', 'y').replaceAll('\r\n', '\n') + field('"altcha"', 'U'),
    lines('--B', '', 'Content-Disposition: form-data; name="altcha"', '', 'U'), lines('--B', 'Content-ID: altcha', '', 'U'),
    lines('--B', 'X-Content-Disposition: form-data; name="altcha"', '', 'U'), lines('--B', 'Content-Disposition: form-data;', ' name="altcha"', '', 'U'),
  ].flatMap((part) => [[multi, part + field('"altcha"', 'T') + '--B--\r\n'], [multi, field('"altcha"', 'T') + part + '--B--\r\n']]),
];

const readByBusboy = (type, body) => new Promise((resolve, reject) => {
  const values = [];
  const parser = busboy({headers: {'content-type': type}});
  parser.on('field', (name, value) => { if (name === 'altcha') values.push(value); });
  parser.on('file', (name, file) => file.resume());
  parser.on('close', () => resolve(values)).on('error', reject).end(body);
});

const readByFormidable = async (type, body) => {
  const headers = {'content-type': type, 'content-length': String(body.length)};
  const [fields] = await formidable().parse(Object.assign(Readable.from([body]), {headers}));
  return fields.altcha ?? [];
};

const readByQs = (body) => [qs.parse(body.toString('latin1')).altcha ?? []].flat();

test('what is forwarded is read alike', async () => {
  let arrived = 0;
  for (const [type, text, must] of bodies) {
    const puzzle = JSON.parse((await w.request(url, {method: 'POST', headers: {Accept: 'application/json'}})).text).captcha.challenge;
    const token = solve(puzzle);
    const raw = type === form ? encodeURIComponent(token) : token;
    const body = Buffer.from(text.replaceAll('T', () => raw), 'latin1');
    w.app.reset();
    const {status} = await w.request(url, {method: 'POST', headers: {Accept: 'application/json', 'Content-Type': type, 'Content-Length': body.length}, body});
    assert.ok(status === 200 || !must && status === 400, `${status}: ${text}`);
    if (status !== 200) continue;
    arrived++;
    const seen = await w.app.one();
    assert.deepEqual(seen.body, body);
    const readers = [readByBusboy(type, seen.body), readByFormidable(type, seen.body), ...type === form ? [readByQs(seen.body)] : []];
    for (const {value, reason} of await Promise.allSettled(readers)) {
      if (value || must) assert.deepEqual([...new Set(value)], [token], `${text}: ${reason}`);
    }
  }
  assert.ok(arrived > 6, `${arrived} arrived`);
});
