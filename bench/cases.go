//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	options
	dir      string
	upstream *upstream
}

func (b *bench) www() string { return filepath.Join(b.dir, "www") }

// kase is one thing to measure.
type kase struct {
	name  string
	title string  // in the table of goals; empty where it does not stand there
	goal  float64 // the least ratio of throughput; 0 where there is none
	p99   float64 // the largest ratio of the latency's p99; 0 where there is none
	// prepare returns the loads of both servers, with their requests.
	prepare func(ctx context.Context, b *bench, rounds int, plain, ours *server) (p, o *load, err error)
	control bool // the second server has no captcha either
	upload  bool
	page    bool // the first byte of the answer counts, and the memory

	memory func(ctx context.Context, b *bench) (figure, error) // measures nothing but memory

	other       []byte // what the other server is sent
	otherStatus int    // what it answers
}

// unprofiled reports whether there is nothing of the case that -profile shows.
func (c kase) unprofiled() bool { return c.upload || c.name == "spent-tokens" }

func cases() []kase {
	return []kase{
		{name: "control", title: "control: plain against plain", control: true, prepare: get(proxied, "/form")},
		{name: "unmatched-get", title: "path that is not matched", goal: 0.99, prepare: get(proxied, "/")},
		{name: "matched-get", title: "matched GET", goal: 0.98, prepare: get(proxied, "/form")},
		{name: "own-lines", title: "not captcha: `request_header` and `header` on a path that is not matched", prepare: get(func(s *server) string { return s.lined }, "/")},
		{name: "beside", title: "a site without captcha, beside sites with it", prepare: get(func(s *server) string { return s.beside }, "/")},
		{name: "cleared-post", title: "POST with a clearance", goal: 0.95, prepare: cleared(clearing, "POST", form(""))},
		{name: "cleared-post-tls", title: "the same, both over TLS", prepare: cleared(func(s *server) string { return s.secure }, "POST", form(""))},
		{name: "token-post", title: "POST with a `pow` token", goal: 0.85, prepare: tokenPost(proxied)},
		{name: "outage-post", title: "POST with the fallback's token in an outage", goal: 0.85, p99: 1.5, prepare: outagePost},
		{name: "challenge-page", title: "challenge page, against a static file of its size", goal: 0.8, prepare: answerOfOurs("page.html", acceptHTML)},
		{name: "problem-json", title: "problem+json, against a static file of its size", prepare: answerOfOurs("problem.json", acceptJSON)},
		{name: "inject-file", title: "page of 100 KB from a file with `captcha_inject`", page: true, prepare: page(func(s *server) string { return s.pages }, func(s *server) string { return s.pages })},
		{name: "inject-proxied", title: "page of 100 KB from the upstream with `captcha_inject`", page: true, prepare: page(func(s *server) string { return s.through }, func(s *server) string { return s.through })},
		{name: "inject-to-templates", title: "page of 100 KB with `captcha_inject`, against `templates`", page: true, prepare: page(func(s *server) string { return s.shaped }, func(s *server) string { return s.pages })},
		{name: "upload", title: "large upload, token first", upload: true},
		{name: "sites", title: "memory of an idle site, the worst of three kinds", memory: idleSites},
		{name: "slow-uploads", title: "very many slow uploads at once, the worst of three ways", memory: slowUploads},
		{name: "spent-tokens", title: "a million spent tokens", memory: spentTokens},
	}
}

func caseNames() []string {
	var names []string
	for _, c := range cases() {
		names = append(names, c.name)
	}
	return names
}

// loads returns a load for both servers; the plain one answers with 200.
func (b *bench) loads(plain, ours *server, plainAddr, oursAddr string, oursStatus int) (p, o *load, err error) {
	if p, err = newLoad(plain, plainAddr, b.connections, 200); err != nil {
		return nil, nil, err
	}
	if o, err = newLoad(ours, oursAddr, b.connections, oursStatus); err != nil {
		p.close()
		return nil, nil, err
	}
	return p, o, nil
}

func proxied(s *server) string { return s.proxy }

func clearing(s *server) string { return s.cleared }

func get(site func(*server) string, path string) func(context.Context, *bench, int, *server, *server) (*load, *load, error) {
	return func(_ context.Context, b *bench, _ int, plain, ours *server) (*load, *load, error) {
		p, o, err := b.loads(plain, ours, site(plain), site(ours), 200)
		if err == nil {
			p.request = request("GET", site(plain), path, "", acceptHTML, "", "")
			o.request = request("GET", site(ours), path, "", acceptHTML, "", "")
		}
		return p, o, err
	}
}

// cleared sends requests with a clearance to a site that has clearances.
func cleared(site func(*server) string, method, body string) func(context.Context, *bench, int, *server, *server) (*load, *load, error) {
	kind := ""
	if body != "" {
		kind = urlencoded
	}
	return func(ctx context.Context, b *bench, _ int, plain, ours *server) (*load, *load, error) {
		cookie, err := clearance(ctx, ours.base(site(ours)))
		if err != nil {
			return nil, nil, err
		}
		p, o, err := b.loads(plain, ours, site(plain), site(ours), 200)
		if err == nil {
			p.request = request(method, site(plain), "/form", cookie, acceptHTML, kind, body)
			o.request = request(method, site(ours), "/form", cookie, acceptHTML, kind, body)
		}
		return p, o, err
	}
}

// outagePost measures posts with the fallback's token while the provider is down.
func outagePost(ctx context.Context, b *bench, rounds int, plain, ours *server) (*load, *load, error) {
	// the first one meets the outage, and the edge confirms it
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+ours.outage+"/form", strings.NewReader("cf-turnstile-response=0.bench"))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", urlencoded)
	resp, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	_ = resp.Body.Close()
	return tokenPost(func(s *server) string { return s.outage })(ctx, b, rounds, plain, ours)
}

// tokenPost measures posts with a token of pow at one of the sites.
func tokenPost(site func(*server) string) func(context.Context, *bench, int, *server, *server) (*load, *load, error) {
	return func(ctx context.Context, b *bench, rounds int, plain, ours *server) (*load, *load, error) {
		return b.tokenPost(ctx, rounds, plain, ours, site(plain), site(ours))
	}
}

func (b *bench) tokenPost(ctx context.Context, rounds int, plain, ours *server, plainAddr, oursAddr string) (*load, *load, error) {
	begin := time.Now()
	perSlice := max(1, b.tokens/b.rounds)
	list, err := tokens(ctx, oursAddr, perSlice*(rounds+b.warm))
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(os.Stderr, "  %d tokens in %v\n", len(list), time.Since(begin).Round(time.Second/10))
	p, o, err := b.loads(plain, ours, plainAddr, oursAddr, 200)
	if err != nil {
		return nil, nil, err
	}
	p.perSlice, o.perSlice = perSlice, perSlice
	for _, t := range list {
		p.list = append(p.list, request("POST", plainAddr, "/form", "", acceptHTML, urlencoded, form(t)))
		o.list = append(o.list, request("POST", oursAddr, "/form", "", acceptHTML, urlencoded, form(t)))
	}
	return p, o, nil
}

// answerOfOurs compares what we answer to a post without a token with a static
// file of the same size, served by Caddy's file server.
func answerOfOurs(file, accept string) func(context.Context, *bench, int, *server, *server) (*load, *load, error) {
	return func(ctx context.Context, b *bench, _ int, plain, ours *server) (*load, *load, error) {
		post := request("POST", ours.proxy, "/form", "", accept, urlencoded, form(""))
		body, err := answerTo(ctx, ours.proxy, accept)
		if err != nil {
			return nil, nil, err
		}
		if err := os.MkdirAll(b.www(), 0o755); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(filepath.Join(b.www(), file), body, 0o644); err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(os.Stderr, "  %d bytes\n", len(body))
		p, o, err := b.loads(plain, ours, plain.files, ours.proxy, 403)
		if err == nil {
			p.request = request("GET", plain.files, "/"+file, "", accept, "", "")
			o.request = post
		}
		return p, o, err
	}
}

func answerTo(ctx context.Context, addr, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/form", strings.NewReader(form("")))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", urlencoded)
	r.Header.Set("Accept", accept)
	r.Header.Set("Origin", "http://"+addr)
	r.Header.Set("Referer", "http://"+addr+"/form")
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		return nil, fmt.Errorf("a post without a token: %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}
