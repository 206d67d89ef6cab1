package memory

import (
	"crypto/rand"
	"crypto/sha256"
	"math"
	"time"
)

// table is what the process remembers.
type table struct {
	now   func() time.Time
	since time.Time

	// secret keeps clients from choosing keys that collide or that share a
	// shard.
	secret [sha256.Size]byte

	claims ledger
	counts ledger
}

func newTable(now func() time.Time, limit int64) *table {
	t := &table{now: now, since: now()}
	_, _ = rand.Read(t.secret[:]) // it never fails
	t.claims.limit = limit
	t.counts.limit = limit
	return t
}

// Destruct does nothing: a request of the last config may still be on its way.
func (*table) Destruct() error { return nil }

// id stands for a key, which may be long and is none of the memory's business.
func (t *table) id(key string) id {
	var scratch [512]byte
	sum := sha256.Sum256(append(append(scratch[:0], t.secret[:]...), key...))
	return id(sum[:])
}

func (t *table) claim(key string, until time.Time) (bool, error) {
	now := t.now()
	if !until.After(now) {
		return false, nil
	}
	first := false
	err := t.claims.write(t.id(key), now.Unix(), func(old entry) entry {
		if first = old.until == 0; first {
			old.until = seconds(until)
		}
		return old
	})
	return first && err == nil, err
}

func (t *table) release(key string) { t.claims.remove(t.id(key)) }

func (t *table) count(key string, until time.Time) (int64, error) {
	now := t.now().Unix()
	// What has just ended still counts for the rest of this second: a sum
	// of 1 again and again would be no limit.
	end := max(seconds(until), uint32(now+1)) //nolint:gosec // as seconds does
	var sum int64
	err := t.counts.write(t.id(key), now, func(old entry) entry {
		old.until = max(old.until, end)
		if old.n < math.MaxUint32 {
			old.n++
		}
		sum = int64(old.n)
		return old
	})
	return sum, err
}

// seconds rounds up, so that nothing is forgotten too early.
func seconds(t time.Time) uint32 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return uint32(min(max(s, 0), math.MaxUint32))
}
