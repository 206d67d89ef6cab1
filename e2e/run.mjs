// Runs the tests (npm test): builds Caddy once, then one test file after the
// other, so that there is one Chromium at a time. Arguments are test files.
//
// A file that fails is run once more: these tests race a real browser on a
// machine that may have other things to do. Both runs are printed; one that
// fails twice fails.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readdirSync} from 'node:fs';
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import {binary} from './lib/caddy.mjs';

process.chdir(dirname(fileURLToPath(import.meta.url)));
await binary();
const named = process.argv.slice(2);
const all = readdirSync('.').filter((name) => name.endsWith('.test.mjs')).sort();

let child;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { child?.kill(signal); process.exit(130); });

async function passes(file) {
  child = spawn(process.execPath, ['--test', '--test-reporter=spec', file], {stdio: 'inherit'});
  const [code] = await once(child, 'exit');
  return code === 0;
}

const failed = [];
for (const file of named.length ? named : all) {
  console.log(`# ${file}`);
  if (await passes(file)) continue;
  console.log(`# ${file}, once more`);
  if (!await passes(file)) failed.push(file);
}
if (failed.length) console.error(`failed twice: ${failed.join(', ')}`);
process.exitCode = failed.length ? 1 : 0;
