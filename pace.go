package captcha

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// A search for the token needs minRate bytes a second after paceGrace.
	paceGrace = 10 * time.Second
	minRate   = 1 << 10

	// Before an answer of ours, this much of the rest is read and thrown away.
	maxDrain  = 64 << 20
	drainTime = 30 * time.Second
)

// pace ends the reading of a body that comes too slowly. It sets the
// connection's read deadline only in order to end it: whatever deadlines the
// server has configured stay as they are otherwise.
type pace struct {
	read    atomic.Int64
	tripped atomic.Bool
	start   time.Time
	timer   *time.Timer
	abort   func()
}

// keepPace starts to watch. Stop it with stop.
func keepPace(w http.ResponseWriter, body io.Closer) *pace {
	p := &pace{start: time.Now(), abort: func() { abortRead(w, body) }}
	p.timer = time.AfterFunc(paceGrace+time.Second, p.check)
	return p
}

func (p *pace) check() {
	need := int64((time.Since(p.start) - paceGrace).Seconds() * minRate)
	if p.read.Load() < need {
		p.tripped.Store(true)
		p.abort()
		return
	}
	p.timer.Reset(time.Second)
}

func (p *pace) stop() { p.timer.Stop() }

// abortRead makes a read that is under way return. HTTP/3 has no deadlines;
// there, closing the body does it.
func abortRead(w http.ResponseWriter, body io.Closer) {
	if http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) != nil {
		_ = body.Close()
	}
}

// drain reads and throws away what is left of a body, so that a browser that is
// still sending sees our answer and not a reset connection.
func drain(w http.ResponseWriter, r *http.Request) {
	body := r.Body
	if body == nil || body == http.NoBody {
		return
	}
	if held, ok := body.(*heldBody); ok {
		if held.ended != nil {
			return
		}
		body = held.rest
	} else if r.Header.Get("Expect") != "" {
		return // the client waits for our word before it sends anything
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
	r.p.read.Add(int64(n))
	return n, err
}
