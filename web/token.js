// What the challenge page and the script in the app's own pages know of a token.

const MARGIN = 15e3; // a challenge that ends sooner is replaced before its token is used

// The age of something in milliseconds, whatever the clock shows: one of the two
// may stand still while the device sleeps.
const now = () => [performance.now(), Date.now()];
const age = (since) => Math.max(performance.now() - since[0], Date.now() - since[1]);

// Whether a challenge of this lifetime is too old to be used; 0 is forever.
const stale = (since, lifetime) => lifetime > 0 && age(since) > lifetime - Math.min(MARGIN, lifetime / 4);

// Solves a puzzle: the field's value.
async function payload({algorithm, challenge, maxnumber, salt, signature}, progress, source) {
  const start = performance.now();
  const number = await solve({challenge, maxnumber, salt}, progress, source);
  const took = Math.round(performance.now() - start);
  return btoa(JSON.stringify({algorithm, challenge, number, salt, signature, took}));
}

// A value that is not empty, nor a placeholder such as .UNSTARTED.
const good = (value) => typeof value === 'string' && value.trim() && value[0] !== '.';

// The token that a widget has put into its form or handed over, or null.
function tokenIn(form, fields, given) {
  const data = new FormData(form), token = [];
  for (const name of fields) {
    let found;
    for (const value of [...data.getAll(name), given.get(name)]) if (good(value)) found = value;
    if (!found) return null;
    token.push([name, found]);
  }
  return token;
}
