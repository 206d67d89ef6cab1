// The server under test, built from this repository, and run as users run it.
import {execFile, spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {connect as tlsConnect} from 'node:tls';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';

export const root = fileURLToPath(new URL('../..', import.meta.url));

// temporary returns a fresh directory that goes with the process.
export function temporary() {
  const dir = mkdtempSync(join(tmpdir(), 'captcha-e2e-'));
  process.on('exit', () => rmSync(dir, {recursive: true, force: true}));
  return dir;
}

// binary is the path of a Caddy with the plugin: CADDY_BIN, or built now.
export async function binary() {
  if (process.env.CADDY_BIN) return process.env.CADDY_BIN;
  const path = join(temporary(), 'caddy');
  await promisify(execFile)('go', ['build', '-o', path, './cmd/caddy'], {cwd: root, timeout: 600_000});
  return (process.env.CADDY_BIN = path);
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// start runs Caddy with the sites of a Caddyfile until stop is called. Its admin
// API is off, or at the given address.
export async function start(sites, {http, https, admin = 'off'}) {
  const dir = temporary();
  const file = join(dir, 'Caddyfile');
  writeFileSync(file, `{
	admin ${admin}
	persist_config off
	default_bind 127.0.0.1
	skip_install_trust
	auto_https disable_redirects
	http_port ${http}
	https_port ${https}
	storage file_system ${dir}/storage
	grace_period 100ms
	log {
		output file ${dir}/log
		level DEBUG
	}
}
${sites}
`);
  const child = spawn(await binary(), ['run', '--config', file, '--adapter', 'caddyfile'], {stdio: ['ignore', 'ignore', 'pipe']});
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  let stderr = '';
  child.stderr.on('data', (text) => { stderr += text; });
  const exited = once(child, 'exit');

  const hosts = [...new Set([...sites.matchAll(/https:\/\/([\w.-]+):\d+/g)].map((m) => m[1]))];
  try {
    await Promise.race([
      Promise.all([...hosts.map((host) => handshake(https, host))]),
      exited.then(() => { throw new Error(`Caddy ended:\n${stderr}`); }),
    ]);
  } catch (error) {
    kill();
    throw error;
  }
  return {
    dir,
    // log returns the entries that Caddy has written.
    log: () => readFileSync(join(dir, 'log'), 'utf8').trim().split('\n').map((line) => JSON.parse(line)),
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(kill, 5000);
      await exited;
      clearTimeout(timer);
      process.off('exit', kill);
    },
  };
}

// handshake waits until a TLS handshake for the host succeeds.
async function handshake(port, servername) {
  const end = Date.now() + 20_000;
  for (;;) {
    const error = await new Promise((resolve) => {
      const socket = tlsConnect({port, host: '127.0.0.1', servername, rejectUnauthorized: false}, () => {
        socket.destroy();
        resolve();
      });
      socket.on('error', resolve);
    });
    if (!error) return;
    if (Date.now() > end) throw new Error(`no TLS for ${servername}: ${error.message}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
