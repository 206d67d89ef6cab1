// Pictures of the challenge page (npm run screenshots), into test-results/.
import {mkdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {card} from './lib/browser.mjs';
import {prepare, reach, sites} from './lib/kinds.mjs';
import {world} from './lib/world.mjs';

const dir = fileURLToPath(new URL('test-results/', import.meta.url));
mkdirSync(dir, {recursive: true});
const phone = {viewport: {width: 320, height: 640}, deviceScaleFactor: 2, isMobile: true};
const desk = {viewport: {width: 900, height: 640}};

const w = await world(sites, {hooks: false});
try {
  prepare(w);
  const pictures = {
    light: ['working', desk],
    dark: ['working', {...desk, colorScheme: 'dark'}],
    phone: ['working', phone],
    arabic: ['working', {...desk, locale: 'ar'}],
    confirm: ['confirm', desk],
    'confirm-phone-dark': ['confirm', {...phone, colorScheme: 'dark'}],
    'redeem-large': ['redeem-large', desk],
    'redeem-elsewhere': ['redeem-elsewhere', desk],
    'redeem-arabic-phone': ['redeem-elsewhere', {...phone, locale: 'ar'}],
    failed: ['failed', desk],
    stop: ['stop', desk],
  };
  for (const [name, [way, options]] of Object.entries(pictures)) {
    const page = await reach(w, null, way, options);
    if (way === 'working') { // as after some time
      await page.waitForFunction(() => !document.getElementById('captcha-progress').hidden);
      await page.evaluate(() => { document.getElementById('captcha-progress').value = 0.4; });
    }
    await page.waitForTimeout(400); // the bar moves
    await page.screenshot({path: `${dir}${name}.png`, fullPage: true});
    await page.context().close();
  }
  const page = await w.visitor(null, {...desk, javaScriptEnabled: false});
  await page.goto(w.https('site.test', '/form'));
  await page.click('button');
  await card(page).waitFor();
  await page.screenshot({path: `${dir}noscript.png`, fullPage: true});
  console.log(`${Object.keys(pictures).length + 1} pictures in ${dir}`);
} finally {
  await w.close();
}
