//go:build linux

package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tooMany broken promises end the run early.
const tooMany = 20

// book keeps what every request may do, and what it did.
type book struct {
	violations atomic.Int64

	mu       sync.Mutex
	tickets  map[string]*ticket
	counts   map[string]int // of requests, by kind
	answers  map[string]int // by kind and status
	arrived  int            // forms that were let in
	forms    int            // honest ones that came through, and their bytes
	bytes    int64
	slowest  time.Duration // of the honest ones
	outcomes []diversion
	texts    []string
}

func newBook() *book {
	return &book{tickets: make(map[string]*ticket), counts: make(map[string]int), answers: make(map[string]int)}
}

// ticket is a form, or an attack, under a name that nobody else knows. The name is
// in the query of every request that carries it.
type ticket struct {
	nonce string
	kind  string
	lane  *lane
	from  time.Time

	// below the book's lock
	allowed *allowance
	bodies  map[[sha256.Size]byte]bool // what may come
	types   string                     // the content type that must come
	whole   int                        // how often it came to its end
	sent    time.Time                  // when it was last sent
	once    bool                       // it has had a one-time clearance
}

// allowance is how often something may reach the app; several tickets share one
// where they carry the same token.
type allowance struct{ may, came int }

// open begins a ticket. It may not reach the app until allow says so.
func (b *book) open(kind string, l *lane) *ticket {
	t := &ticket{nonce: kind + "." + randomHex(12), kind: kind, lane: l, from: time.Now(), sent: time.Now(), allowed: new(allowance), bodies: make(map[[sha256.Size]byte]bool)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tickets[t.nonce] = t
	return t
}

// allow lets a ticket through once more, with this body.
func (b *book) allow(t *ticket, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	b.mu.Lock()
	defer b.mu.Unlock()
	t.allowed.may++
	t.bodies[sum], t.types, t.sent = true, contentType, time.Now()
}

// cleared notes that a ticket has a one-time clearance.
func (b *book) cleared(t *ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.once = true
}

// refused takes an allow back: the edge has answered itself.
func (b *book) refused(t *ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.allowed.may--
	b.check(t)
}

// check holds the number of arrivals to what is allowed. The lock is held.
func (b *book) check(t *ticket) {
	if t.allowed.came > t.allowed.may {
		b.violate("%s reached the app %d times, and may %d times", t.nonce, t.allowed.came, t.allowed.may)
	}
}

// arrive notes that a request has reached the app: its headers, at first.
func (b *book) arrive(nonce string, r *http.Request) *ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.arrived++
	t := b.tickets[nonce]
	evidence := fmt.Sprintf("%s %s %v", r.Method, r.RequestURI, r.Header)
	if t == nil {
		b.violate("something that nobody sent has reached the app: %s", evidence)
		return nil
	}
	for name, values := range r.Header {
		if strings.Contains(strings.ToLower(name), "captcha") && strings.Contains(strings.Join(values, ","), forgery) {
			b.violate("a forged header has reached the app: %s", evidence)
		}
	}
	status, by := r.Header.Get("X-Captcha-Status"), r.Header.Get("X-Captcha-Provider")
	l := t.lane
	switch {
	case l.signal && t.kind != "script" && (status == "failed" || status == "missing"):
		return t // as often as it likes: the app is told
	case l.free:
		if status != "" || by != "" {
			b.violate("a path without captcha has its headers: %s", evidence)
		}
		return t
	case l.gate != nil && l.gate.unreachable == "allow" && status == "failover":
		b.divert(l, letIn, t.sent)
		return t // as often as it likes: that is what allow says
	case status == "passed" && l.gate != nil && by == "pow":
		b.divert(l, fallbackProof, t.sent)
	case status == "passed" && (l.gate != nil && by == l.gate.kind || l.gate == nil && by == "pow"):
	case status == "cleared" && (l.clears || t.once):
	default:
		b.violate("%s has reached the app with status %q of provider %q: %s", nonce, status, by, evidence)
	}
	t.allowed.came++
	if t.allowed.came > t.allowed.may {
		b.violate("%s has reached the app %d times, and may %d times: %s", nonce, t.allowed.came, t.allowed.may, evidence)
	}
	return t
}

// complete notes the body of a request that has reached the app, whole.
func (b *book) complete(t *ticket, contentType string, length int64, sum [sha256.Size]byte, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.whole++
	if len(t.bodies) == 0 {
		return // an attack that failover let in, or one that has no say in what it sends
	}
	if !t.bodies[sum] || contentType != t.types || length >= 0 && length != n {
		b.violate("%s came changed: %d bytes of %q (announced %d), sent as %q", t.nonce, n, contentType, length, t.types)
	}
}

// done ends an honest ticket: it has come through.
func (b *book) done(t *ticket, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forms++
	b.bytes += int64(size)
	b.slowest = max(b.slowest, time.Since(t.from))
	if t.whole == 0 {
		b.violate("%s was answered as if it had arrived, and it has not", t.nonce)
	}
}

// closeTicket forgets a ticket a while after it was answered. What comes even
// later was sent by nobody.
func (b *book) closeTicket(t *ticket) {
	time.AfterFunc(time.Minute, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.tickets, t.nonce)
	})
}

// count notes an answer.
func (b *book) count(kind string, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[kind]++
	b.answers[fmt.Sprintf("%s %d", kind, status)]++
}

func (b *book) requests() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.counts {
		n += k
	}
	return n
}

// What a diversion is, beside the reasons of answers.
const (
	letIn         = "failover let a request in"
	fallbackProof = "a fallback's proof let a request in"
	fallbackAsked = "the fallback's challenge"
)

// diversion is something that only the provider's trouble excuses.
type diversion struct {
	lane     *lane
	what     string
	from, to time.Time // of the request
}

// divert notes a diversion, to be judged when all outages are known. The lock
// is held.
func (b *book) divert(l *lane, what string, from time.Time) {
	b.outcomes = append(b.outcomes, diversion{l, what, from, time.Now()})
}

func (b *book) diverted(l *lane, what string, from time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.divert(l, what, from)
}

// violation reports a broken promise, with its evidence.
func (b *book) violation(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.violate(format, args...)
}

// violate is violation with the lock held.
func (b *book) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if b.violations.Add(1) <= tooMany {
		b.texts = append(b.texts, text)
		fmt.Fprintf(os.Stderr, "%s BROKEN: %.2000s\n", time.Now().Format("15:04:05.000"), text)
	}
}

func (b *book) broken() int64 { return b.violations.Load() }
