// Solves the edge's challenges without a browser.
import {createHash} from 'node:crypto';

// solve returns the token of an ALTCHA challenge.
export function solve({algorithm, challenge, maxnumber, salt, signature}) {
  for (let number = 0; number <= maxnumber; number++) {
    if (createHash('sha256').update(salt + number).digest('hex') === challenge) {
      return Buffer.from(JSON.stringify({algorithm, challenge, number, salt, signature})).toString('base64');
    }
  }
  throw new Error('no solution');
}

// carriedBy reads the challenge and the seal out of a challenge page.
export function carriedBy(text) {
  const data = text.match(/<script type="application\/json" id="captcha-data">(.*?)<\/script>/s);
  const seal = text.match(/name="captcha-seal" value="([^"]+)"/);
  if (!data || !seal) throw new Error('not a challenge page: ' + text.slice(0, 300));
  return {seal: seal[1], challenge: JSON.parse(data[1]).challenge};
}
