//go:build fleet

package captcha_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// visitors send to all nodes under one name, as behind a load balancer.
var visitors = &http.Client{
	Timeout:   15 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 32},
}

// What becomes of a post.
const (
	entered = "entered"
	refused = "refused" // with a new challenge
	denied  = "denied"  // 503
	broken  = "broken"  // the node did not answer
)

func (n *caddyNode) post(path, body string, headers ...string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, n.site+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Host = fmt.Sprintf("fleet.test:%d", n.port)
	req.Header.Set("Content-Type", formType)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := visitors.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// token asks the node for a challenge and solves it.
func (n *caddyNode) token() (string, error) {
	code, body, err := n.post("/form", "", "Captcha-Request", "challenge")
	if err != nil || code != http.StatusOK {
		return "", fmt.Errorf("%d %s: %w", code, body, err)
	}
	var p struct{ Challenge json.RawMessage }
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return "", err
	}
	return powtest.Solve(p.Challenge), nil
}

func (n *caddyNode) enter(token, name, form string) string {
	code, body, err := n.post("/form", url.Values{"altcha": {token}, "token": {name}, "form": {form}}.Encode())
	switch {
	case err != nil || code == http.StatusBadGateway:
		return broken
	case code == http.StatusOK && body == "in":
		return entered
	case code == http.StatusServiceUnavailable:
		return denied
	default:
		return refused
	}
}

// load is visitors who send a form each until it is in, some of them with the same
// token to several nodes at once, and thieves who send spent tokens again.
type load struct {
	f      *fleetOf
	race   bool // the same token to all nodes at once
	stop   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	issued map[string]time.Time
	spent  []struct{ token, name string }
	took   []time.Duration
	counts map[string]int
	lost   []string
	forms  int
}

func (f *fleetOf) load(race bool) *load {
	f.app.forget()
	l := &load{f: f, race: race, stop: make(chan struct{}), issued: make(map[string]time.Time), counts: make(map[string]int)}
	for i := range 4 {
		l.wg.Go(func() { l.visit(i) })
	}
	l.wg.Go(l.steal)
	return l
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// visit sends form after form. None is given up.
func (l *load) visit(worker int) {
	for i := 0; !l.stopped(); i++ {
		form := fmt.Sprintf("form %d.%d", worker, i)
		l.mu.Lock()
		l.forms++
		l.mu.Unlock()
		in := false
		for try := 0; try < 500 && !in; try++ {
			if try > 3 {
				time.Sleep(20 * time.Millisecond)
			}
			in = l.try(form, fmt.Sprintf("%s.%d", form, try))
		}
		if !in {
			l.mu.Lock()
			l.lost = append(l.lost, form)
			l.mu.Unlock()
		}
	}
}

// try solves one challenge and sends the form with it.
func (l *load) try(form, name string) bool {
	nodes := slices.Clone(l.f.nodes[:])
	rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	asked := time.Now()
	token, err := nodes[0].token()
	if err != nil {
		l.note("no challenge", 0)
		return false
	}
	l.mu.Lock()
	l.issued[name] = asked
	l.mu.Unlock()
	if !l.race {
		nodes = nodes[1:2]
	}
	outcomes := make([]string, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			start := time.Now()
			outcomes[i] = n.enter(token, name, form)
			l.note(outcomes[i], time.Since(start))
		})
	}
	wg.Wait()
	in := slices.Contains(outcomes, entered)
	if in {
		l.mu.Lock()
		l.spent = append(l.spent, struct{ token, name string }{token, name})
		l.mu.Unlock()
	}
	return in
}

// steal sends spent tokens again, to any node.
func (l *load) steal() {
	for !l.stopped() {
		l.mu.Lock()
		if len(l.spent) == 0 {
			l.mu.Unlock()
			time.Sleep(time.Millisecond)
			continue
		}
		s := l.spent[rand.IntN(len(l.spent))]
		l.mu.Unlock()
		l.note("stolen, "+l.f.nodes[rand.IntN(3)].enter(s.token, s.name, "theft"), 0)
	}
}

func (l *load) note(outcome string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[outcome]++
	if took > 0 {
		l.took = append(l.took, took)
	}
}

// end ends the load and checks that every form is in, and that no token got in
// twice. While the nodes were alone (from the time given, if any), a token that
// was issued since may count once on each of them.
func (l *load) end(t *testing.T, alone time.Time) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	l.f.app.mu.Lock()
	defer l.f.app.mu.Unlock()
	if len(l.lost) > 0 {
		t.Errorf("%d forms were lost: %.5q", len(l.lost), l.lost)
	}
	twice, shown := 0, 0
	for name, nodes := range l.f.app.token {
		if len(nodes) < 2 || name == "warm-up" {
			continue
		}
		twice++
		slices.Sort(nodes)
		if perNode := len(slices.Compact(slices.Clone(nodes))) == len(nodes); alone.IsZero() || !perNode || l.issued[name].Before(alone) {
			if shown++; shown > 5 {
				t.Fail()
				continue
			}
			t.Errorf("%s got in %d times, on the nodes %v; issued %s, alone since %s", name, len(nodes), nodes, l.issued[name], alone)
		}
	}
	slices.Sort(l.took)
	at := func(p float64) time.Duration {
		return l.took[int(p*float64(len(l.took)-1))].Round(time.Millisecond / 10)
	}
	t.Logf("%d forms, all in; %d tokens, %d of them counted on several lone nodes; posts: p50 %s, p99 %s, longest %s; %v",
		l.forms, len(l.issued), twice, at(.5), at(.99), at(1), l.counts)
}
