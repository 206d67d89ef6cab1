'use strict';
// The solver: finds the number n for which SHA-256(salt + n) is the challenge.
//
// This text runs three times: in the page, in its workers (the page hands them
// this element's text), and in the tests. It does without crypto.subtle, which
// plain http has not, and which is slow for many short messages.

// SHA-256's constants: the first 32 bits behind the point of the cube roots of the
// first 64 primes, and its start: those of the square roots of the first 8.
const K = new Int32Array(64), START = new Int32Array(8);
for (let n = 2, i = 0; i < 64; n++) {
  let d = 2;
  while (n % d) d++;
  if (d < n) continue;
  if (i < 8) START[i] = Math.sqrt(n) % 1 * 2 ** 32;
  K[i++] = Math.cbrt(n) % 1 * 2 ** 32;
}

const W = new Int32Array(64);

// Compresses the 16 words of a block into the state: out = f(state, block).
function compress(out, state, words, at) {
  for (let i = 0; i < 16; i++) W[i] = words[at + i];
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15], y = W[i - 2];
    const s0 = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3;
    const s1 = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10;
    W[i] = s0 + s1 + W[i - 16] + W[i - 7] | 0;
  }
  let a = state[0], b = state[1], c = state[2], d = state[3];
  let e = state[4], f = state[5], g = state[6], h = state[7];
  for (let i = 0; i < 64; i++) {
    const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
    const t1 = h + s1 + (g ^ e & (f ^ g)) + K[i] + W[i] | 0;
    const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
    const t2 = s0 + (a & b | c & (a | b)) | 0;
    h = g; g = f; f = e; e = d + t1 | 0;
    d = c; c = b; b = a; a = t1 + t2 | 0;
  }
  out[0] = state[0] + a; out[1] = state[1] + b; out[2] = state[2] + c; out[3] = state[3] + d;
  out[4] = state[4] + e; out[5] = state[5] + f; out[6] = state[6] + g; out[7] = state[7] + h;
}

class Solver {
  // What all numbers share is computed once: the state after the salt's whole
  // blocks. The rest of the salt opens the last block, or the last two.
  constructor(salt, challenge) {
    const bytes = new TextEncoder().encode(salt);
    const whole = bytes.length >> 6 << 6;
    this.middle = START.slice();
    const block = new Int32Array(16);
    for (let at = 0; at < whole; at += 64) {
      for (let i = 0; i < 16; i++) block[i] = word(bytes, at + 4 * i);
      compress(this.middle, this.middle, block, 0);
    }
    this.length = bytes.length;
    this.rest = bytes.subarray(whole);
    this.target = Int32Array.from({length: 8}, (_, i) => parseInt(challenge.substr(8 * i, 8), 16));
  }

  // Returns the number sought if it is in [from, to), else -1.
  find(from, to) {
    while (from < to) {
      const digits = String(from).length;
      const end = Math.min(to, 10 ** digits);
      const found = this.findSameLength(from, end, digits);
      if (found >= 0) return found;
      from = end;
    }
    return -1;
  }

  // As find, for numbers with the same number of digits: only the words that
  // hold these change from one number to the next.
  findSameLength(from, to, digits) {
    const {rest, middle, target} = this;
    const first = rest.length, last = first + digits - 1;
    const size = last + 10 > 64 ? 128 : 64; // 1 byte 0x80 and 8 of length follow
    const bytes = new Uint8Array(size), words = new Int32Array(size / 4), state = new Int32Array(8);
    bytes.set(rest);
    bytes[last + 1] = 0x80;
    for (let i = 0; i < words.length; i++) words[i] = word(bytes, 4 * i);
    words[words.length - 1] = (this.length + digits) * 8;
    for (let n = from; n < to; n++) {
      for (let i = last, m = n; i >= first; i--) {
        const q = m / 10 | 0;
        bytes[i] = 48 + m - 10 * q;
        m = q;
      }
      for (let i = first >> 2; i <= last >> 2; i++) words[i] = word(bytes, 4 * i);
      compress(state, middle, words, 0);
      if (size > 64) compress(state, state, words, 16);
      if (state[0] === target[0] && state.every((x, i) => x === target[i])) return n;
    }
    return -1;
  }
}

// The big-endian word at a place.
function word(bytes, at) {
  return bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
}

// In a worker: a puzzle first, then range after range.
if (typeof WorkerGlobalScope === 'function') {
  let solver;
  onmessage = ({data}) => {
    if (data.salt) solver = new Solver(data.salt, data.challenge);
    else postMessage({from: data.from, found: solver.find(data.from, data.to)});
  };
}
