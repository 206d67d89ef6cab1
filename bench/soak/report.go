//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report writes the figures, and with -docs the page and its graph.
func (s *soak) report(w io.Writer) error {
	var figures strings.Builder
	s.figures(&figures)
	if _, err := io.WriteString(w, figures.String()); err != nil {
		return err
	}
	if s.docs == "" {
		return nil
	}
	page := strings.Replace(prose, "{figures}", strings.TrimSpace(figures.String()), 1)
	if err := os.WriteFile(filepath.Join(s.docs, "reliability.md"), []byte(page), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.docs, "reliability.svg"), []byte(s.graph()), 0o644)
}

// commit names what is tried; asked for before the load, which others may work in.
func commit() string {
	text, _ := exec.Command("git", "-C", "..", "describe", "--always", "--dirty", "--exclude", "*").Output()
	return cmp.Or(strings.TrimSpace(string(text)), "unknown")
}

func (s *soak) figures(w io.Writer) {
	kind := "Caddy as it is built for use"
	if s.race {
		kind = "Caddy with the race detector"
	}
	took := s.loadTo.Sub(s.loadFrom)
	fmt.Fprintf(w, "Commit `%s`, %s; %s; %s, %d cores; load for %v.\n\n", s.commit,
		s.began.Format(time.DateOnly), kind, runtime.Version(), runtime.NumCPU(), took.Round(time.Second))
	s.totals(w, took)
	s.resources(w)
	s.troubles(w)
	s.answers(w)
}

func (s *soak) totals(w io.Writer, took time.Duration) {
	n := s.book.requests()
	b := s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	hostile := 0
	for kind, k := range b.counts {
		if strings.HasPrefix(kind, "hostile") {
			hostile += k
		}
	}
	good, bad, longest := 0, 0, time.Duration(0)
	for _, r := range s.reloads {
		if r.broken == "" {
			good++
		} else {
			bad++
		}
		longest = max(longest, r.took)
	}
	fmt.Fprintf(w, "| | |\n|---|--:|\n| promises broken | **%d** |\n| requests | %d (%.0f a second), %d of them hostile |\n", b.broken(), n, float64(n)/took.Seconds(), hostile)
	fmt.Fprintf(w, "| honest forms that came through, complete | %d (%.1f GB) |\n| the slowest of them, outages and all | %.1f s |\n| honest forms lost, changed or doubled | %d |\n",
		b.forms, float64(b.bytes)/1e9, b.slowest.Seconds(), b.lost())
	fmt.Fprintf(w, "| reloads | %d, and %d refused; the longest took %.1f s |\n| drills | %d |\n", good, bad, longest.Seconds(), s.drills)
}

// lost counts what was reported of honest forms.
func (b *book) lost() (n int) {
	for _, text := range b.texts {
		if strings.Contains(text, "honest form") || strings.Contains(text, "came changed") {
			n++
		}
	}
	return n
}

func (s *soak) resources(w io.Writer) {
	fmt.Fprintf(w, "\n| | before | second quarter | last quarter | most | allowed in the last | after |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, x := range allSeries() {
		second, last, _ := s.watch.flat(x)
		_, v := s.watch.values(x)
		most := 0.0
		if len(v) > 0 {
			most = slices.Max(v) / x.scale
		}
		name := x.name
		if x.unit != "" {
			name += ", " + x.unit
		}
		form := "| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |\n"
		if x.unit != "" {
			form = strings.ReplaceAll(form, "%.0f", "%.1f")
		}
		fmt.Fprintf(w, form, name, x.of(s.watch.rest)/x.scale, second, last, most, second*(1+x.share)+x.spare, x.of(s.watch.end)/x.scale)
	}
	fmt.Fprintf(w, "\nThe quarters are medians. The last column is %.0f s after the load ended.", s.watch.settled.Seconds())
	if s.loadTo.Sub(s.loadFrom) < flatAfter {
		fmt.Fprintf(w, " A load of less than %v is not judged by them.", flatAfter)
	}
	fmt.Fprintln(w)
}

// troubles are the faults, and how soon the edge knew.
func (s *soak) troubles(w io.Writer) {
	type row struct {
		n             int
		noticed, back []float64
	}
	rows := make(map[fault]*row)
	for _, g := range s.providers {
		g.mu.Lock()
		for _, sp := range g.spans {
			r := rows[sp.fault]
			if r == nil {
				r = new(row)
				rows[sp.fault] = r
			}
			r.n++
			r.noticed, r.back = append(r.noticed, sp.noticed.Seconds()), append(r.back, sp.back.Seconds())
		}
		g.mu.Unlock()
	}
	fmt.Fprintf(w, "\n| a provider… | times | noticed after, s: median | most | its return noticed after, s: median | most |\n|---|--:|--:|--:|--:|--:|\n")
	for _, f := range slices.Sorted(maps.Keys(rows)) {
		r := rows[f]
		if f == slow {
			fmt.Fprintf(w, "| %s | %d | no outage | | | |\n", f, r.n)
			continue
		}
		fmt.Fprintf(w, "| %s | %d | %.1f | %.1f | %.1f | %.1f |\n", f, r.n, median(r.noticed), slices.Max(r.noticed), median(r.back), slices.Max(r.back))
	}
}

// answers says what was sent, and how it was answered.
func (s *soak) answers(w io.Writer) {
	b := s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(w, "\n| requests | number | answers |\n|---|--:|---|\n")
	for _, kind := range slices.Sorted(maps.Keys(b.counts)) {
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(b.answers)) {
			if status, ok := strings.CutPrefix(key, kind+" "); ok && len(status) <= 3 {
				if status == "0" {
					status = "broken off"
				}
				parts = append(parts, fmt.Sprintf("%s: %d", status, b.answers[key]))
			}
		}
		fmt.Fprintf(w, "| %s | %d | %s |\n", kind, b.counts[kind], strings.Join(parts, ", "))
	}
}

const prose = `# Reliability

What happens to one Caddy with ` + "`captcha`" + ` under a mix of honest visitors, attackers, provider faults, reloads and clients that go away, all at once, for
half an hour. This page and its graph are written by the program that does it; how to run it is at the end.

## What is run

A real Caddy process, an app behind it that records what reaches it, and imitations of five providers that can be broken. On 127.0.0.1, over HTTP/1.1 with
and without connections that are kept, HTTP/2 with TLS, and HTTP/3; 120 requests a second at most.

- **Honest visitors** ask for a puzzle, solve it and send their form, or send it and come through the challenge page, or come back with a clearance, or use a
  page with ` + "`captcha_inject`" + `. Urlencoded, JSON, multipart with files from 1 KB to 20 MB, or the token in a header; with ` + "`pow`, `turnstile`, `geetest`,\n  `trustcaptcha`, `hcaptcha` and `geetest4`" + `. They go on until the app has their form.
- **Attackers** forge headers, seals and clearances, send junk, replay spent tokens, spend one token many times at once, send ambiguous bodies and framing,
  bring proofs of work from where they do not count, let another site submit a challenge page, send bodies of 80 MB, and slowly, and halves of bodies, and
  go away at every stage of a request.
- **Providers** refuse or reset connections, hang, drip, answer 500, a captive portal's page, half of a document, 429, "your key is wrong", or late.
- **The operator** reloads every 10 seconds, two configurations in turn, each third time one that is broken: in its syntax, in a value, when it is
  provisioned, when it is started. Drills come in between.

## What counts as broken

Each unsafe request has a name in its query that only the generator knows, and the generator knows how often it may arrive and with which body. The
program prints the evidence and exits with 1

- where a request reaches the app that has no proof, no clearance and no outage to excuse it, or one token opens two requests;
- where an honest form does not come through within two minutes, arrives twice (but after a connection that broke before the answer), or arrives with another
  length, type or SHA-256 than it was sent with;
- where a forged ` + "`X-Captcha-*`" + ` header reaches the app, in whatever spelling;
- where the edge records an outage of a provider that was up, or a single answer or arrival is a failover outside the provider's trouble;
- where an outage, a wrong key or a 429 is not noticed within a minute, or its end is not;
- where an answer has a status that the reference does not know, or a 503 has no documented reason;
- where a refused reload changes the running configuration or forgets an outage, or a good one is refused;
- where the log has a panic, a data race, a secret or a token;
- where memory, goroutines, open or temporary files grow, or are not given back. They grow where the median of the last quarter of the load is above that of
  the second by more than the table allows. They are given back where, within 90 seconds after the load, there are at most 10 goroutines and 3 open files more
  than before it, and no temporary file.

## Measured

{figures}

![Memory, goroutines, open files and temporary files over time](reliability.svg)

Grey lines are reloads, red ones those that were refused. Spans in red are outages of one provider or several, spans in orange their other troubles: the more
at once, the darker.

How to read the answers: *broken off* are requests that got none, most of them because the client went away, as it was to. An honest 403 is a challenge. A hostile
200 is the one winner of a race, or came to ` + "`hcaptcha`" + ` in an outage, whose directive says ` + "`unreachable allow`" + `, or to
` + "`/signal`" + `, whose directive says ` + "`mode signal`" + `: there the app must not be told that it has passed. 503 are the denials of ` + "`misconfigured`" + `, which is the
default while a provider refuses our key: honest visitors try again. 499 is what ` + "`reverse_proxy`" + ` answers who closes half of a connection. A reload ends
what is under way after ` + "`grace_period 20s`" + `. Spent tokens are kept, those of ` + "`pow`" + ` for an hour after they expire: that is what memory still grows by.

## Run it again

` + "```sh\ngo -C bench run ./soak                      # half an hour\ngo -C bench run ./soak -time 2m -race       # with the race detector\ngo -C bench run ./soak -redis localhost:6379 # spent tokens in Redis\ngo -C bench run ./soak -docs ../docs        # writes this page and its graph\n```" + `

It needs Linux and Go, uses ports on 127.0.0.1 only, and ends its Caddy when it ends. A run of less than 15 minutes is not judged by its quarters. ` + "`./test.sh soak`" + `
is a run of 20 seconds. With ` + "`-redis`" + `, the machine must be quick enough for Redis to answer within 250 ms throughout: each time that it does not, Caddy goes
on alone, refuses what it cannot know, and the run counts that as broken.
`
