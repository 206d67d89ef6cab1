// How long a visitor waits (npm run measure): from the click on the form's button
// to the form's arrival at the app, at the default difficulty. Figures, no verdict.
import {noWorkers, received} from './lib/browser.mjs';
import {html} from './lib/upstream.mjs';
import {world} from './lib/world.mjs';

const RUNS = Number(process.argv[2] ?? 15);

// hashes counts what 300 ms of work bring, in the page or in a worker.
const hashes = async (page) => page.evaluate(async () => {
  const work = () => {
    const end = performance.now() + 300;
    let n = 0;
    for (let x = 1; performance.now() < end; n++) for (let i = 0; i < 1e4; i++) x = (x * 1103515245 + 12345) | 0;
    return n;
  };
  const source = `const work = ${work}; onmessage = () => postMessage(work());`;
  const worker = new Worker(URL.createObjectURL(new Blob([source])));
  const inWorker = new Promise((done) => { worker.onmessage = (e) => done(e.data); });
  worker.postMessage(0);
  const answer = {worker: await inWorker, page: work()};
  worker.terminate();
  return answer;
});

const w = await world(`
https://site.test:{https} {
	tls internal
	captcha /send
	reverse_proxy {app}
}
https://plain.test:{https} {
	tls internal
	reverse_proxy {app}
}`, {hooks: false, pages: {'/form': html('<form method="post" action="/send"><input name="a"><button>Send</button></form>')}});

async function once(host, rate, init) {
  w.app.reset();
  const page = await w.visitor(null, {init});
  await page.goto(w.https(host, '/form'));
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Emulation.setCPUThrottlingRate', {rate});
  const start = await page.evaluate(() => {
    const start = Date.now();
    document.forms[0].submit();
    return start;
  });
  await received(page);
  const took = (await w.app.one()).at - start;
  await page.context().close();
  return took;
}

try {
  const probe = await w.visitor(null);
  await probe.goto(w.https('site.test', '/form'));
  const cdp = await probe.context().newCDPSession(probe);
  const free = await hashes(probe);
  await cdp.send('Emulation.setCPUThrottlingRate', {rate: 4});
  const throttled = await hashes(probe);
  await probe.context().close();
  const slower = (a, b) => (a / b).toFixed(1);
  console.log(`CPU throttling 4x makes the page ${slower(free.page, throttled.page)} times slower, a worker ${slower(free.worker, throttled.worker)} times`);
  console.log('click to arrival in ms, default difficulty'.padEnd(58), 'min  median   mean     p90     max');
  const cases = [
    ['no captcha', 'plain.test', 1, []],
    ['workers', 'site.test', 1, []],
    ['workers forbidden', 'site.test', 1, [noWorkers]],
    ['workers, CPU 4x slower', 'site.test', 4, []],
    ['workers forbidden, CPU 4x slower', 'site.test', 4, [noWorkers]],
    ['workers forbidden, CPU 6x slower', 'site.test', 6, [noWorkers]],
  ];
  for (const [name, host, rate, init] of cases) {
    const times = [];
    for (let i = 0; i < RUNS; i++) times.push(await once(host, rate, init));
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
    const mean = Math.round(times.reduce((a, b) => a + b) / times.length);
    console.log(name.padEnd(54), ...[times[0], at(0.5), mean, at(0.9), times.at(-1)].map((n) => String(n).padStart(7)));
  }
} finally {
  await w.close();
}
