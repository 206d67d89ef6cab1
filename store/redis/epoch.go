package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// How it is noticed that Redis has forgotten something
//
// What is spent is spent only as long as Redis remembers it. It forgets with
// FLUSHALL, with a restart that does not bring every write back, with an old
// snapshot, and with a failover to a replica that had not heard everything. A
// token from before could then be spent a second time. So each memory has an
// epoch, a key beside the claims: when this memory began to remember, a random
// part, and which server process (run_id) with which history (master_replid) it
// was written in. Three rules make it work.
//
//  1. The script that claims a key returns the epoch, in the same round trip. A
//     memory without an epoch (flushed, or new) gets one in that very script, so
//     no claim exists that is older than the epoch that its memory has now.
//  2. A server process can only be replaced behind a new connection. Each node
//     counts the connections that it begins; the first script after that also
//     compares the epoch with the process it runs in, and begins a new one where
//     they differ: a restart, whatever was restored, or a failover. A script
//     that was sent before, on an unverified connection by a race, is not
//     believed until another one has compared. In a cluster there are
//     connections to the replicas too, and a failover begins none: there every
//     script compares.
//  3. A node that sees an epoch that it does not know has its Since moved, before
//     the claim is answered. Whoever asked compares the token's issue time with
//     Since after the claim, and refuses what is older.
//
// Why nothing is let in twice, with two nodes at any moments: a token that was
// spent before the loss was issued before it. Every claim after the loss runs in
// a memory with a new epoch (1, 2), whose beginning is later than the loss, and
// the claimer knows it (3). It does not matter which node noticed first, nor that
// two notice at once: the script is atomic, the second one finds the first
// one's epoch. Since never moves back.
//
// What it depends on: issue times are other nodes' clocks. The margin covers a
// difference of a second; keep the clocks together (NTP). And a master that is
// cut off from its replicas and still serves some nodes is no loss of memory but
// two memories: min-replicas-to-write 1 makes such a master refuse. For tokens
// that name no issue time (they are not signed by us) the provider's own rule
// that a token counts once holds after a loss.

// margin is by how much the clocks of nodes may differ.
const margin = time.Second

// script does all that is done with a claim or a counter. KEYS: the key, the
// epoch. ARGV: 1 to compare the epoch with the server, the text of a new epoch,
// what to do, and for how many milliseconds.
var script = rueidis.NewLuaScript(`
local epoch = redis.call('GET', KEYS[2])
if not epoch or ARGV[1] == '1' then
  local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
  local here = (string.match(info, 'run_id:(%x+)') or '?') .. '/' .. (string.match(info, 'master_replid:(%x+)') or '?')
  if not epoch or string.sub(epoch, -string.len(here)) ~= here then
    epoch = ARGV[2] .. ' ' .. here
    redis.call('SET', KEYS[2], epoch)
  end
end
local n = 0
if ARGV[3] == 'claim' then
  if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[4]) then n = 1 end
elseif ARGV[3] == 'count' then
  n = redis.call('INCR', KEYS[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {n, epoch}`)

// memory is what a node knows of the memories of a Redis: one, or one for each
// bucket of a cluster.
type memory struct {
	mu       sync.Mutex
	since    time.Time
	epochs   [clusterBuckets]string
	verified [clusterBuckets]uint64 // up to which connection an epoch was compared
}

func (m *memory) begin() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since
}

// mustCompare reports whether a connection was begun since the epoch was last
// compared with the server.
func (m *memory) mustCompare(bucket int, dials uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.verified[bucket] != dials
}

// learn takes the epoch that a script returned, and reports whether it is new.
// The moment in it is another node's word: one that cannot be right counts as now.
func (m *memory) learn(bucket int, epoch string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.epochs[bucket]
	if before == epoch {
		return false
	}
	m.epochs[bucket] = epoch
	text, _, _ := strings.Cut(epoch, " ")
	ms, err := strconv.ParseInt(text, 10, 64)
	begin, latest := time.UnixMilli(ms), now.Add(margin)
	if err != nil || begin.After(latest) || before != "" && begin.Before(now.Add(-time.Minute)) {
		begin = latest
	}
	if begin.After(m.since) {
		m.since = begin
	}
	return true
}

func (m *memory) compared(bucket int, dials uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verified[bucket] = dials
}

var errOdd = errors.New("redis gave an answer that cannot be understood")

// run runs the script. Only where a connection was replaced under a command that
// did not compare, it takes a second round trip to do so.
func (s *server) run(ctx context.Context, client rueidis.Client, bucket int, name, what string, ttl time.Duration) (int64, error) {
	dials := s.dials.Load()
	compare := client.Mode() == rueidis.ClientModeCluster || s.memory.mustCompare(bucket, dials)
	n, err := s.exec(ctx, client, bucket, name, what, ttl, compare)
	for err == nil && !compare && s.dials.Load() != dials {
		dials, compare = s.dials.Load(), true
		_, err = s.exec(ctx, client, bucket, name, "compare", 0, true)
	}
	if err == nil && compare && s.dials.Load() == dials {
		s.memory.compared(bucket, dials)
	}
	return n, err
}

func (s *server) exec(ctx context.Context, client rueidis.Client, bucket int, name, what string, ttl time.Duration, compare bool) (int64, error) {
	now := time.Now()
	flag, fresh := "0", ""
	if compare {
		flag = "1"
	}
	fresh = strconv.FormatInt(now.Add(margin).UnixMilli(), 10) + " " + rand.Text()
	got, err := script.Exec(ctx, client, []string{name, s.inBucket(bucket, "epoch")},
		[]string{flag, fresh, what, strconv.FormatInt(max(ttl.Milliseconds(), 1), 10)}).ToArray()
	if err != nil {
		return 0, err
	}
	if len(got) != 2 {
		return 0, errOdd
	}
	n, err := got[0].AsInt64()
	epoch, err2 := got[1].ToString()
	if err != nil || err2 != nil {
		return 0, errOdd
	}
	if s.memory.learn(bucket, epoch, time.Now()) && client.Mode() == rueidis.ClientModeCluster {
		s.survey(client)
	}
	return n, nil
}

// survey looks at all epochs of a cluster in the background, as soon as one is
// found new: what is refused because of the others is refused now, and not again
// and again whenever a request happens to meet the next one.
func (s *server) survey(client rueidis.Client) {
	if !s.surveys.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.surveys.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), deadAfter)
		defer cancel()
		for bucket := range clusterBuckets {
			_, _ = s.exec(ctx, client, bucket, s.inBucket(bucket, "survey"), "compare", 0, true)
		}
	}()
}
