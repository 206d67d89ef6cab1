package captcha

import (
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// Reading a body needs minRate bytes a second after paceGrace. What came
	// faster counts for paceCredit at most: a client must go on sending.
	minRate    = 1 << 10
	paceGrace  = 10 * time.Second
	paceCredit = 30 * time.Second

	// Before an answer of ours, this much of the rest is read and thrown away.
	maxDrain  = 64 << 20
	drainTime = 30 * time.Second
)

// pace ends the reading of a body that comes too slowly. It sets the
// connection's read deadline only in order to end it: whatever deadlines the
// server has configured stay as they are otherwise.
type pace struct {
	w    http.ResponseWriter
	body io.Closer

	mu      sync.Mutex
	timer   *time.Timer
	last    time.Time
	credit  int64 // bytes that may still be missing
	tripped bool
	stopped bool
}

// keepPace starts to watch. Stop it with stop.
func keepPace(w http.ResponseWriter, body io.Closer) *pace {
	p := &pace{w: w, body: body, last: time.Now(), credit: bytesIn(paceGrace)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(paceGrace+time.Second, p.check)
	return p
}

func bytesIn(d time.Duration) int64 { return int64(d.Seconds() * minRate) }

// count tells the watcher that n bytes came.
func (p *pace) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credit = min(p.credit+int64(n), bytesIn(paceCredit))
}

func (p *pace) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped { // in the moment in which the timer fired
		return
	}
	now := time.Now()
	p.credit -= bytesIn(now.Sub(p.last))
	p.last = now
	if p.credit < 0 {
		p.tripped = true
		abortRead(p.w, p.body)
		return
	}
	p.timer.Reset(time.Second)
}

// stop ends the watch; after it nothing is aborted.
func (p *pace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.timer.Stop()
}

// tooSlow reports whether the watcher ended the reading.
func (p *pace) tooSlow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tripped
}

// abortRead makes a read that is under way return. HTTP/3 has no deadlines;
// there, closing the client's side of the body does it.
func abortRead(w http.ResponseWriter, body io.Closer) {
	if http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) != nil {
		_ = clientSide(body).Close()
	}
}

// clientSide is what the server gave us for a body that was read in part.
func clientSide(body io.Closer) io.Closer {
	for {
		switch b := body.(type) {
		case *heldBody:
			body = b.rest
		case *peeked:
			body = b.rest
		default:
			return body
		}
	}
}

// drain reads and throws away what is left of a body, so that a browser that is
// still sending sees our answer and not a reset connection. What was held of
// the body is let go of first.
func drain(w http.ResponseWriter, r *http.Request) {
	body := r.Body
	if body == nil || body == http.NoBody {
		return
	}
	switch b := body.(type) {
	case *heldBody:
		b.release()
		if b.ended != nil {
			return
		}
		body = b.rest
	case *peeked: // the client is sending
	default:
		// the client waits for our word before it sends anything; over HTTP/2, Go does
		// not tell
		if r.Header["Expect"] != nil {
			if r.ProtoMajor == 1 { // else the server waits for the body, without the word
				w.Header().Set("Connection", "close")
			}
			return
		}
	}
	timer := time.AfterFunc(drainTime, func() { abortRead(w, body) })
	defer timer.Stop()
	n, err := io.CopyN(io.Discard, body, maxDrain)
	if err != io.EOF || n == maxDrain {
		w.Header().Set("Connection", "close")
	}
}

// pacedReader tells p how much was read.
type pacedReader struct {
	r io.Reader
	p *pace
}

func (r pacedReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.p.count(n)
	return n, err
}
