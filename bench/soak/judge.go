//go:build linux

package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"time"
)

// judge looks at what can be judged only when all is known: whether every
// diversion had a cause, and what the log says.
func (s *soak) judge() {
	if s.caddy.ended() {
		return
	}
	s.judgeOutages()
	s.judgeFlat()
	text, err := os.ReadFile(s.caddy.logFile)
	if err != nil {
		s.book.violation("%v", err)
	}
	s.judgeLog(string(text))
}

const (
	probeTime   = 5 * time.Second  // a probe that began in a fault ends after it
	recoverTime = 45 * time.Second // until a wrong key is tried again
)

// judgeOutages: no outage that was none, no diversion without an outage, and all
// is well in the end.
func (s *soak) judgeOutages() {
	doc, err := s.status(context.Background())
	if err != nil {
		s.book.violation("%v", err)
		return
	}
	known := make(map[string]providerDoc)
	for _, p := range doc.Providers {
		known[p.Name] = p
	}
	for _, g := range s.providers {
		p := known[g.kind]
		for _, o := range p.Outages {
			if !o.Drill && !g.was(func(f fault) bool { return f.outage() || f == slow }, o.Start, o.Start, probeTime) {
				s.book.violation("%s: an outage at %s, and the provider was up: %s", g.kind, s.at(o.Start), o.Evidence)
			}
		}
		if !p.well() {
			s.book.violation("%s is not well in the end: %+v", g.kind, p)
		}
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for _, d := range s.book.outcomes {
		if !d.excused(known[d.lane.gate.kind].Outages) {
			s.book.violate("%s: %q at %s, and there was no cause for it", d.lane.path, d.what, s.at(d.to))
		}
	}
}

// was reports whether the provider had such a fault in a time.
func (g *gateway) was(such func(fault) bool, from, to time.Time, slack time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sp := range g.spans {
		if such(sp.fault) && !sp.from.After(to) && !from.After(sp.to.Add(slack)) {
			return true
		}
	}
	return false
}

// excused reports whether a diversion had its cause in what the edge has recorded
// of the provider, or in what the provider knows of itself.
func (d diversion) excused(outages []outageDoc) bool {
	isQuota := func(f fault) bool { return f == quota }
	const throttle = retryAfter*time.Second + probeTime
	after := time.Second
	switch d.what {
	case "misconfigured":
		return d.lane.gate.was(func(f fault) bool { return f == wrongKey }, d.from, d.to, recoverTime)
	case "throttled":
		return d.lane.gate.was(isQuota, d.from, d.to, throttle)
	case fallbackProof:
		after += graceAfter
	}
	for _, o := range outages {
		if !o.Start.After(d.to) && (o.End == nil || !d.from.After(o.End.Add(after))) {
			return true
		}
	}
	return d.what != letIn && d.what != "provider-unreachable" && d.lane.gate.was(isQuota, d.from, d.to, throttle+after)
}

// judgeFlat: what the process takes does not grow.
func (s *soak) judgeFlat() {
	if s.loadTo.Sub(s.loadFrom) < flatAfter {
		return
	}
	for _, x := range allSeries() {
		if second, last, ok := s.watch.flat(x); !ok {
			s.book.violation("%s grows: %.1f %s in the second quarter, %.1f in the last", x.name, second, x.unit, last)
		}
	}
}

var alarms = regexp.MustCompile(`DATA RACE|panic|fatal error|goroutine \d+ \[|concurrent map|assignment to nil`)

// judgeLog: no panic, no race, no secret, no token.
func (s *soak) judgeLog(text string) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if alarms.MatchString(line) {
			s.book.violation("Caddy's log: %s", strings.Join(lines[max(0, i-1):min(len(lines), i+40)], "\n"))
			break
		}
	}
	secrets := []string{realSecret}
	s.mu.Lock()
	for _, p := range s.proofs {
		for name, value := range p.token {
			if name != "geetest_validate" && len(value) > 12 {
				secrets = append(secrets, value)
			}
		}
	}
	s.mu.Unlock()
	for _, secret := range secrets {
		if at := strings.Index(text, secret); at >= 0 {
			s.book.violation("Caddy's log has a secret or a token: %s", text[max(0, at-300):min(len(text), at+100)])
			break
		}
	}
}
