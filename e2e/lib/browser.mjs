// Chromium, and what tests do in it.
import {accessSync, constants} from 'node:fs';
import {delimiter, join} from 'node:path';
import {chromium} from 'playwright-core';

// executable finds Chromium: CHROMIUM, or on the PATH.
function executable() {
  const candidates = process.env.CHROMIUM ? [process.env.CHROMIUM] : (process.env.PATH ?? '').split(delimiter)
    .flatMap((dir) => ['chromium', 'chromium-browser', 'google-chrome'].map((name) => join(dir, name)));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch { /* the next one */ }
  }
  throw new Error('Chromium is missing: install it (Debian: apt-get install chromium), or name its program in CHROMIUM');
}

export async function startBrowser({bfcache = false} = {}) {
  return chromium.launch({
    executablePath: executable(),
    headless: true,
    ignoreDefaultArgs: bfcache ? ['--disable-back-forward-cache'] : [],
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP *.test 127.0.0.1',
      '--ignore-certificate-errors',
    ],
  });
}

// Scripts that run in a page before its own.

// noWorkers makes workers forbidden.
export const noWorkers = () => { window.Worker = class { constructor() { throw new DOMException('forbidden', 'SecurityError'); } }; };

// deafWorkers never answer.
export const deafWorkers = () => { window.Worker = class { postMessage() {} terminate() {} }; };

// hold keeps challenge pages from solving until release is called, as a device
// that sleeps would.
export function hold() {
  window.Worker = class { postMessage() {} terminate() {} };
  const held = [];
  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (...args) { held.push(() => post.apply(this, args)); };
  window.release = () => {
    MessagePort.prototype.postMessage = post;
    for (const go of held) go();
  };
}
export const release = (page) => page.evaluate(() => window.release());

// The parts of a challenge page.
export const card = (page) => page.locator('#captcha-check');
export const button = (page) => page.locator('#captcha-button');
export const status = (page) => page.locator('#captcha-status');

// kind is what a challenge page is for: submit, confirm, redeem or stop.
export const kind = (page) => card(page).getAttribute('class');

// ready waits until a page's button can be pressed.
export async function ready(page) {
  await page.waitForFunction(() => {
    const b = document.getElementById('captcha-button');
    return b && !b.hidden && !b.disabled;
  });
}

// armed waits until a page's button is there and answers clicks.
export async function armed(page) {
  await ready(page);
  const from = await page.evaluate(() => performance.now());
  await page.waitForFunction((t) => performance.now() > t + 600, from);
}

// received waits for the app's receipt.
export const received = (page) => page.locator('#received').waitFor();
