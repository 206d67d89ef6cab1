// The check is a proof of work: the search for the number of a puzzle.

const MARGIN = 15e3; // a puzzle that ends sooner is replaced before it is used

// The age of a puzzle in milliseconds, whatever the clock shows: one of the two
// may stand still while the device sleeps.
const now = () => [performance.now(), Date.now()];
const age = (since) => Math.max(...now().map((t, i) => t - since[i]));

let puzzle; // null where a new one is needed

const expiring = () => data.lifetime > 0 && age(puzzle.since) > data.lifetime - Math.min(MARGIN, data.lifetime / 4);

async function renew() {
  puzzle = null; // should this fail, the next attempt asks again
  const response = await post({'Captcha-Request': 'challenge'});
  const {challenge} = await response.json();
  if (!response.ok || challenge.algorithm !== 'SHA-256') throw new Error('no puzzle');
  puzzle = {...challenge, since: now()};
}

const check = {
  begin() {
    puzzle = {...data.challenge, since: now()};
  },

  // Resolves to the token of a puzzle that is still good: one that was issued too
  // long ago, because the tab slept or the search took long, is replaced.
  async token() {
    progress.value = 0;
    show('working', kind === 'redeem' && 'back');
    if (!puzzle) await renew();
    for (let i = 0; ; i++) {
      const {algorithm, challenge, salt, signature} = puzzle;
      const start = performance.now();
      let drawn = 0;
      const number = await solve(puzzle, (share) => {
        if (performance.now() - drawn > 200) {
          progress.value = share;
          drawn = performance.now();
        }
      });
      const took = Math.round(performance.now() - start);
      const token = btoa(JSON.stringify({algorithm, challenge, number, salt, signature, took}));
      if (i === 2 || !expiring()) return [[data.fields[0], token]];
      await renew();
    }
  },

  current: (token) => expiring() ? null : token,
  again: (then) => attempt(then),
  resume: (then) => attempt(then),

  drop() {
    puzzle = null;
  },
};
