// Checks what the page and the injected script know of a token: node --test web/
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

const source = readFileSync(new URL('token.js', import.meta.url), 'utf8');

// load runs the file with two clocks, and a form that is its own data.
function load() {
  const clock = {performance: 1e6, date: 1e9};
  const context = vm.createContext({
    performance: {now: () => clock.performance}, Date: {now: () => clock.date}, btoa,
    solve: async ({challenge, maxnumber, salt}, progress, source) => {
      progress(1);
      assert.deepEqual([challenge, maxnumber, salt, source], ['c', 9, 's', 'text']);
      clock.performance += 7;
      return 5;
    },
    FormData: class { constructor(form) { this.getAll = (name) => form[name] ?? []; } },
  });
  return {clock, ...vm.runInContext(`${source}\n({now, age, stale, payload, tokenIn})`, context)};
}

test('a challenge is replaced 15 seconds, or a quarter of its life, before its end', () => {
  for (const [lifetime, good, bad] of [[6e5, 585e3, 585001], [2000, 1500, 1501], [0, 1e12, undefined]]) {
    for (const moves of ['performance', 'date']) { // one of the clocks may stand still
      for (const [passed, want] of [[0, false], [good, false], [bad, true]]) {
        if (passed === undefined) continue;
        const {clock, now, stale} = load();
        const since = now();
        clock[moves] += passed;
        assert.equal(stale(since, lifetime), want, `${lifetime} after ${passed} by ${moves}`);
      }
    }
  }
});

test('a solved puzzle as a field\'s value', async () => {
  let told = 0;
  const value = await load().payload({algorithm: 'SHA-256', challenge: 'c', maxnumber: 9, salt: 's', signature: 'x', more: 1}, () => told++, 'text');
  assert.deepEqual(JSON.parse(atob(value)), {algorithm: 'SHA-256', challenge: 'c', number: 5, salt: 's', signature: 'x', took: 7});
  assert.equal(told, 1);
});

test('a widget\'s token: all its fields, the last good value of each', () => {
  const {tokenIn} = load();
  const plain = (token) => [...token].map((field) => [...field]); // arrays of this realm
  const no = new Map();
  assert.deepEqual(plain(tokenIn({a: ['1'], b: ['', '2', '3']}, ['a', 'b'], no)), [['a', '1'], ['b', '3']]);
  assert.deepEqual(plain(tokenIn({a: ['1', '.UNSTARTED', ' ']}, ['a'], no)), [['a', '1']]);
  assert.deepEqual(plain(tokenIn({a: ['1']}, ['a'], new Map([['a', '2']]))), [['a', '2']]);
  for (const form of [{a: ['1']}, {a: ['1'], b: ['']}, {a: ['1'], b: ['.ERROR']}, {a: ['1'], b: [{name: 'file'}]}]) {
    assert.equal(tokenIn(form, ['a', 'b'], no), null);
  }
});
