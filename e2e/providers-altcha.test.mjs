// The real ALTCHA widgets on the challenge page: our own challenges, and those of
// a server elsewhere, made by ALTCHA's own libraries.
import assert from 'node:assert/strict';
import {createChallenge as createV2} from 'altcha-lib';
import {deriveKey as pbkdf2} from 'altcha-lib/algorithms/pbkdf2';
import {deriveKey as sha} from 'altcha-lib/algorithms/sha';
import {createChallenge as createV1} from 'altcha-lib/v1';
import {arrives, form, npm, send, site, startProviders} from './lib/providers.mjs';
import {test, world} from './lib/world.mjs';

const key = 'a-key-of-the-tests-that-is-long-enough';
const soon = () => new Date(Date.now() + 300_000);

// An ALTCHA server: a path for each way of making a challenge.
const makes = {
  v1: () => createV1({hmacKey: key, maxNumber: 3000, expires: soon()}),
  pbkdf2: () => createV2({algorithm: 'PBKDF2/SHA-256', cost: 500, keyPrefix: '00', deriveKey: pbkdf2, hmacSignatureSecret: key, expiresAt: soon()}),
  sha: () => createV2({algorithm: 'SHA-256', cost: 1, keyPrefix: '00', deriveKey: sha, hmacSignatureSecret: key, expiresAt: soon()}),
};
const services = await startProviders({
  providers: {
    async altcha(r) {
      assert.equal(r.method, 'GET');
      return {json: await makes[r.path.slice(1)]()};
    },
  },
  files: {
    '/1.js': npm('altcha1/dist/altcha.js'),
    '/2.js': npm('altcha2/dist/altcha.js'),
    '/3.js': npm('altcha3/dist/main/altcha.js'),
  },
});

// [host, what the widget is given, its version]
const cases = [['ours', 1], ['ours', 2], ['ours', 3], ['v1', 1], ['v1', 2], ['v1', 3], ['pbkdf2', 3], ['sha', 3]];
const hostOf = ([how, version]) => `${how}-${version}.test`;

const w = await world(`
${cases.map((c) => site(hostOf(c), `provider altcha {
			hmac_key ${key}
			script_url https://cdn.test:{https}/${c[1]}.js
			${c[0] === 'ours' ? '' : `challenge_url ${services.origin}/altcha/${c[0]}`}
		}`)).join('\n')}
https://cdn.test:{https} {
	tls internal
	reverse_proxy ${services.address}
}`, {pages: {'/form': form}});

// Our own challenges of this provider have 500,000 hashes. A smaller one of the
// same key takes their place in the page.
const smaller = (challenge) => ({content: `{
  const parse = JSON.parse, smaller = ${JSON.stringify(challenge)};
  JSON.parse = (...args) => {
    const value = parse(...args);
    if (value?.widget) value.challenge = smaller;
    return value;
  };
}`});

const what = {ours: 'a challenge in the page', v1: 'protocol v1', pbkdf2: 'protocol v2, PBKDF2', sha: 'protocol v2, SHA-256'};
for (const c of cases) {
  test(`ALTCHA widget ${c[1]}, ${what[c[0]]}`, async (t) => {
    w.app.reset();
    services.reset();
    const page = await w.visitor(t, {init: c[0] === 'ours' ? [smaller(await makes.v1())] : []});
    await send(w, page, hostOf(c));
    await arrives(w, page, hostOf(c), {provider: 'altcha'});
    assert.deepEqual(services.faults, []);
    assert.deepEqual(page.faults, []);
  });
}
