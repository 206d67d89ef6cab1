// Runs the tests (npm test): builds Caddy once, then one test file after the
// other, so that there is one Chromium at a time. Arguments are test files.
import {spawn} from 'node:child_process';
import {readdirSync} from 'node:fs';
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import {binary} from './lib/caddy.mjs';

process.chdir(dirname(fileURLToPath(import.meta.url)));
await binary();
const files = process.argv.slice(2);
const all = readdirSync('.').filter((name) => name.endsWith('.test.mjs')).sort();
const child = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...(files.length ? files : all)], {stdio: 'inherit'});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => { process.exitCode = code ?? 1; });
