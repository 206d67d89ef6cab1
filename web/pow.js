// The check is a proof of work: the search for the number of a puzzle.

let puzzle; // null where a new one is needed

const source = document.getElementById('captcha-solver').textContent;
const expiring = () => stale(puzzle.since, data.lifetime);

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
      let drawn = 0;
      const token = await payload(puzzle, (share) => {
        if (performance.now() - drawn > 200) {
          progress.value = share;
          drawn = performance.now();
        }
      }, source);
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
