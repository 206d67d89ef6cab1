package captcha

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lane is one provider's site in the storm: a path of the real server, the far
// end, visitors who come through whatever they are asked to solve, and attackers.
type lane struct {
	*gateway
	t      *testing.T
	e      *edge
	name   string
	mode   string
	https  bool
	policy string // of the failover block
	late   bool   // what it goes through shows in no other way than by being late
	play   func(*lane)

	gate sync.RWMutex // readers are requests under way
	stop chan struct{}
	wg   sync.WaitGroup

	sent     atomic.Int64 // honest posts, each of which must arrive
	accepted atomic.Int64
	attacks  atomic.Int64

	mu    sync.Mutex
	spent []url.Values // tokens that have opened a request
	proof url.Values   // a fallback's proof of this lane that nobody has used
}

func (l *lane) site() string {
	verify, probe := chaosPatience, chaosPatience
	if l.late {
		verify, probe = time.Second, chaosLate
	}
	return fmt.Sprintf(`captcha /%s* {
	%s
	fallback pow {
		difficulty 1000
	}
	verify_timeout %s
	bypass_check %s {
		timeout %s
		fails %d
		passes %d
	}
	failover {
		unreachable %s
	}
}
`, l.name, l.block(l.https), verify, l.mode, probe, chaosFails, chaosPasses, l.policy)
}

// post sends one form. A request that is broken off is an error.
func (l *lane) post(id string, token url.Values) (status int, p problem) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	form := url.Values{"id": {id}, "comment": {"precious"}}
	maps.Copy(form, token)
	req, _ := http.NewRequest("POST", l.e.url+"/"+l.name, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", formType)
	resp, err := l.e.http.Do(req)
	if err != nil {
		l.t.Errorf("%s: %v", id, err)
		return 0, p
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = json.Unmarshal(body, &p)
	}
	if err != nil {
		l.t.Errorf("%s: %s: %v: %.200s", id, resp.Status, err, body)
	}
	return resp.StatusCode, p
}

// visit is one honest post: it is sent until it is accepted.
func (l *lane) visit(id string) {
	var token url.Values
	var by puzzle
	end := time.Now().Add(chaosBound)
	for time.Now().Before(end) {
		status, p := l.post(id, token)
		switch {
		case status == 200:
			l.accepted.Add(1)
			if l.policy != "allow" { // there it may not be spent
				l.mu.Lock()
				l.spent = append(l.spent[max(0, len(l.spent)-50):], token)
				l.mu.Unlock()
			}
			return
		case status == 403 && len(p.Captcha) > 0:
			if err := json.Unmarshal(p.Captcha, &by); err != nil {
				l.t.Errorf("%s: %v in %s", id, err, p.Captcha)
				return
			}
			token = l.widget(by)
			if by.Provider == "pow" && p.Reason == reasonUnreachable {
				l.mu.Lock()
				if l.proof == nil { // for the attackers of other lanes
					l.proof, token = token, nil
				}
				l.mu.Unlock()
			}
		case status == 503 || status == 0:
		default:
			l.t.Errorf("%s: %d %s for an honest post", id, status, p.Reason)
			return
		}
		if p.Reason == reasonTryAgain || status == 503 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	l.t.Errorf("%s: an honest post never got through", id)
}

func (l *lane) visitors() {
	for l.pause(80 * time.Millisecond) {
		l.visit(fmt.Sprintf("honest-%s-%d", l.name, l.sent.Add(1)))
	}
}

// attackers try everything but solving.
func (l *lane) attackers(others []*lane) {
	for n := 0; l.pause(60 * time.Millisecond); n++ {
		var token url.Values
		switch n % 5 {
		case 0, 1:
			token = l.odd(n)
		case 2:
			l.mu.Lock()
			if len(l.spent) > 0 {
				token = l.spent[n%len(l.spent)]
			}
			l.mu.Unlock()
		case 3: // a primary's proof where a fallback's is asked for
			token = l.widget(l.puzzle("pow"))
		case 4: // a fallback's proof of another provider's outage
			if o := others[n%len(others)]; o != l {
				o.mu.Lock()
				token = o.proof
				o.mu.Unlock()
			}
		}
		h := l.health()
		before := h.overview(time.Now())
		status, p := l.post(fmt.Sprintf("evil-%s-%d", l.name, n), token)
		after := h.overview(time.Now())
		open := l.policy == "allow" && (before.state.isDown() || after.state.isDown() || len(before.outages) != len(after.outages))
		if status == 200 && !open {
			l.t.Errorf("%s: attack %d came through: %v", l.name, n%5, token)
		}
		if status == 400 || status == 502 || status == 500 {
			l.t.Errorf("%s: attack %d: %d %s", l.name, n%5, status, p.Reason)
		}
		l.attacks.Add(1)
	}
}

// puzzle asks a path for its challenge.
func (l *lane) puzzle(path string) (p puzzle) {
	req, _ := http.NewRequest("POST", l.e.url+"/"+path, nil)
	req.Header.Set("Captcha-Request", "challenge")
	resp, err := l.e.http.Do(req)
	if err != nil {
		l.t.Error(err)
		return p
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		l.t.Error(err)
	}
	return p
}

// pause waits, and reports whether to go on.
func (l *lane) pause(d time.Duration) bool {
	select {
	case <-l.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// until waits for something that is sure to come.
func (l *lane) until(what string, is func() bool) bool {
	for end := time.Now().Add(chaosBound); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return true
		}
	}
	l.t.Errorf("%s: %s: it never was", l.name, what)
	return false
}

// arrivals waits until some more honest posts have arrived.
func (l *lane) arrivals(n int64) {
	have := l.accepted.Load()
	l.until("more honest posts", func() bool { return l.accepted.Load() >= have+n })
}

// still waits until no request is under way, and does something then.
func (l *lane) still(do func()) {
	l.gate.Lock()
	defer l.gate.Unlock()
	do()
}

func (l *lane) down() bool { return l.health().standing(time.Now()).down }

func (l *lane) outages() []outage { return l.health().overview(time.Now()).outages }
