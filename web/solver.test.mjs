// Checks the solver against Node's own SHA-256: node --test web/
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

const source = readFileSync(new URL('solver.js', import.meta.url), 'utf8');

// run loads the solver as a browser does, with nothing around it but globals.
const run = (globals = {}) => {
  const context = vm.createContext({TextEncoder, ...globals});
  const Solver = vm.runInContext(`${source}\nSolver`, context);
  return {context, Solver};
};

const {Solver} = run();
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const find = (salt, n, from, to) => new Solver(salt, sha256(salt + n)).find(from, to);

// Where the number of digits changes, so may the number of blocks.
const numbers = [0, 1, 7, 9, 10, 11, 99, 100, 101, 999, 1000, 9999, 10000, 65535, 99999, 100000, 999999, 1000000, 99999999, 2 ** 31 - 1];

test('salts of every length, numbers around every change of digits', () => {
  for (let length = 0; length <= 200; length++) {
    const salt = 'abcdefghij0123456789?&='.repeat(9).slice(0, length);
    for (const n of numbers) {
      assert.equal(find(salt, n, Math.max(0, n - 2), n + 3), n, `length ${length}, number ${n}`);
    }
  }
});

test('ranges', () => {
  assert.equal(find('salt', 500, 0, 1001), 500);
  assert.equal(find('salt', 500, 500, 501), 500);
  assert.equal(find('salt', 500, 0, 500), -1, 'the end is not part of a range');
  assert.equal(find('salt', 500, 501, 1001), -1);
  assert.equal(find('salt', 500, 7, 7), -1);
});

test('every byte of the hash counts', () => {
  const right = sha256('salt42');
  for (let i = 0; i < 64; i++) {
    const wrong = right.slice(0, i) + (right[i] === '0' ? '1' : '0') + right.slice(i + 1);
    assert.equal(new Solver('salt', wrong).find(0, 100), -1);
  }
});

test('salts that are not ASCII', () => {
  for (const salt of ['é', 'Größe?expires=1', '盐', '🧂'.repeat(20)]) {
    assert.equal(find(salt, 12, 0, 100), 12);
  }
});

test('random salts and numbers', () => {
  for (let i = 0; i < 300; i++) {
    const salt = Math.random().toString(36).repeat(1 + i % 9);
    const n = Math.floor(Math.random() * 1e6);
    assert.equal(find(salt, n, n - n % 1000, n - n % 1000 + 1000), n);
  }
});

test('as a worker: a puzzle, then ranges', () => {
  const answers = [];
  const {context} = run({WorkerGlobalScope: class {}, postMessage: (answer) => answers.push({...answer})});
  context.onmessage({data: {salt: 'salt', challenge: sha256('salt1500')}});
  context.onmessage({data: {from: 0, to: 1000}});
  context.onmessage({data: {from: 1000, to: 2000}});
  assert.deepEqual(answers, [{from: 0, found: -1}, {from: 1000, found: 1500}]);
});
