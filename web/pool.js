'use strict';
// Spreads the search over workers. Numbers are handed out in small ranges, so a
// fast core does more of them than a slow one. Once all are out, the oldest range
// without an answer is given to the next helper as well: a worker that died holds
// nothing up. Whenever nothing is heard of the workers, the page itself helps: as
// long as they start, and all along where they are forbidden.

const RANGE = 4096; // numbers for a worker: some milliseconds
const SLICE = 12; // milliseconds that the page works without a pause
const SILENCE = 1000; // milliseconds after which workers count as missing

// Resolves to the number sought. Calls progress with the share that is done. Source
// is the text of a script with the solver, for the workers.
function solve({salt, challenge, maxnumber}, progress, source) {
  return new Promise((resolve, reject) => {
    const open = new Map(); // the ranges without an answer: from -> to
    const workers = [];
    let next = 0, done = 0, over = false, heard = -Infinity, url;

    const take = (size) => {
      let [from, to] = [next, Math.min(next + size, maxnumber + 1)];
      if (from < to) next = to;
      else [from, to] = open.entries().next().value;
      open.delete(from);
      open.set(from, to); // now the youngest
      return {from, to};
    };

    const answer = (from, found) => {
      if (over) return;
      if (open.has(from)) done += open.get(from) - from;
      open.delete(from);
      progress(done / (maxnumber + 1));
      over = found >= 0 || next > maxnumber && !open.size;
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
        const {from, to} = take(256);
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
        if (!over) worker.postMessage(take(RANGE));
      };
      worker.postMessage({salt, challenge});
      worker.postMessage(take(RANGE));
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
