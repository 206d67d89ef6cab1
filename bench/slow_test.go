//go:build linux

package main

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The form is complete whether it has a token or not, and has the token last.
func TestSlowForm(t *testing.T) {
	for _, token := range []string{"", strings.Repeat("t", 400)} {
		text := string(newSlowForm("127.0.0.1:1", 4).head) + strings.Repeat("x", slowSeconds<<10) + slowEnd(token)
		rest := strings.NewReader(text)
		r, err := http.ReadRequest(bufio.NewReader(rest))
		if err != nil {
			t.Fatal(err)
		}
		parts, err := r.MultipartReader()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct{ name, text string }{{"file", ""}, {"altcha", token}, {"filler", ""}} {
			p, err := parts.NextPart()
			if err != nil {
				t.Fatalf("part %s: %v", want.name, err)
			}
			text, err := io.ReadAll(p)
			if err != nil || p.FormName() != want.name || want.text != "" && string(text) != want.text {
				t.Errorf("part %s with %d bytes, %v, want %s", p.FormName(), len(text), err, want.name)
			}
		}
		if _, err := parts.NextPart(); err != io.EOF {
			t.Errorf("after the last part: %v", err)
		}
		if n, err := io.Copy(io.Discard, r.Body); n != 0 || err != nil || rest.Len() != 0 {
			t.Errorf("%d bytes of the body are left, %d behind it, %v", n, rest.Len(), err)
		}
	}
}

func TestTopLine(t *testing.T) {
	m := topLine.FindStringSubmatch("     0.50s  1.20% 61.48%      2.10s  5.04%  net/http.(*conn).serve")
	if len(m) == 0 || m[1] != "1.20%" || m[2] != "5.04%" || m[3] != "net/http.(*conn).serve" {
		t.Errorf("%q", m)
	}
	if topLine.MatchString("      flat  flat%   sum%        cum   cum%") {
		t.Error("the head of the table is taken for a line")
	}
}

func TestReportGoals(t *testing.T) {
	rated := result{
		kase:  kase{title: "post", goal: 0.85, p99: 1.5},
		plain: []sample{{requests: 100, took: 1e9, cpu: 1e9, latencies: one(100)}},
		ours:  []sample{{requests: 80, took: 1e9, cpu: 1e9, latencies: one(140)}},
	}
	var w strings.Builder
	reportGoals(&w, []result{rated, {kase: kase{title: "sites", memory: idleSites}, figure: figure{value: 0.5, limit: 1}}})
	for _, want := range []string{
		"| post | ≥ 0.85 | 0.80 | 1.25 | **missed** |", "| ≤ 1.50 | 1.40 | | met |", "| sites | ≤ 1 MB | 0.50 MB | | met |",
	} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("no %q in\n%s", want, w.String())
		}
	}
}
