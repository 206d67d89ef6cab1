'use strict';
// Spreads the search over workers. Numbers are handed out in small ranges, so a
// fast core does more of them than a slow one. Once all are out, the oldest range
// without an answer is given to the next helper as well: a worker that died holds
// nothing up. Whenever nothing is heard of the workers, the page itself helps: as
// long as they start, and all along where they are forbidden.

const RANGE = 4096; // numbers for a worker: some milliseconds
const SLICE = 12; // milliseconds that the page works without a pause
const SILENCE = 1000; // milliseconds after which workers count as missing

// The numbers from 0 to a limit, in ranges that are open until their answer comes.
class Ranges {
  constructor(limit) {
    this.end = limit + 1;
    this.next = this.done = 0;
    this.open = new Map(); // from -> to, the youngest last
  }

  take(size) {
    let [from, to] = [this.next, Math.min(this.next + size, this.end)];
    if (from < to) this.next = to;
    else [from, to] = this.open.entries().next().value;
    this.open.delete(from);
    this.open.set(from, to); // now the youngest
    return {from, to};
  }

  close(from) {
    if (this.open.has(from)) this.done += this.open.get(from) - from;
    this.open.delete(from);
  }

  share() {
    return this.done / this.end;
  }

  empty() {
    return this.next >= this.end && !this.open.size;
  }
}

// Resolves to the number sought. Calls progress with the share that is done. Source
// is the text of a script with the solver, for the workers.
function solve({salt, challenge, maxnumber}, progress, source) {
  return new Promise((resolve, reject) => {
    const ranges = new Ranges(maxnumber);
    const workers = [];
    let over = false, heard = -Infinity, url;

    const answer = (from, found) => {
      if (over) return;
      ranges.close(from);
      progress(ranges.share());
      over = found >= 0 || ranges.empty();
      if (!over) return;
      for (const worker of workers) worker.terminate();
      if (url) URL.revokeObjectURL(url);
      if (found >= 0) resolve(found);
      else reject(new Error('no solution'));
    };

    // The page's own part, in slices between which it stays responsive.
    const solver = new Solver(salt, challenge);
    const {port1, port2} = new MessageChannel();
    const help = () => {
      const start = performance.now();
      if (start - heard < SILENCE) return void setTimeout(help, SILENCE);
      while (!over && performance.now() - start < SLICE) {
        const {from, to} = ranges.take(256);
        answer(from, solver.find(from, to));
      }
      if (!over) port2.postMessage(0);
    };
    port1.onmessage = help;
    port2.postMessage(0);

    const hire = () => {
      const worker = new Worker(url);
      workers.push(worker);
      worker.onmessage = ({data}) => {
        heard = performance.now();
        answer(data.from, data.found);
        if (!over) worker.postMessage(ranges.take(RANGE));
      };
      worker.postMessage({salt, challenge});
      worker.postMessage(ranges.take(RANGE));
    };

    try {
      url = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
      const cores = (navigator.hardwareConcurrency || 2) - 1;
      for (let i = Math.min(8, Math.max(1, cores)); i > 0; i--) hire();
    } catch {
      // no workers: the page helps itself
    }
  });
}
