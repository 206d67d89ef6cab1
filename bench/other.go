//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// headers are those that -other-header adds.
type headers []string

func (h *headers) String() string { return strings.Join(*h, ", ") }

// Set implements flag.Value.
func (h *headers) Set(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(line, "\r\n") {
		return errors.New(`write it as 'Name: value'`)
	}
	*h = append(*h, name+": "+strings.TrimSpace(value))
	return nil
}

// parseOther checks the flags of the comparison with another server.
func (o *options) parseOther() error {
	switch {
	case o.otherURL == "" && o.otherPID == 0 && o.otherHeaders == nil:
		return nil
	case o.otherURL == "":
		return errors.New("-other-header and -other-pid need -other")
	case o.upstream == "":
		return errors.New("-other needs -upstream HOST:PORT, the address at which the other server finds the upstream")
	case o.only != "":
		return errors.New("-only names other cases than -other measures: leave it out")
	case o.profile != "":
		return errors.New("-profile takes profiles of Caddy: leave out -other")
	}
	u, err := url.Parse(o.otherURL)
	if err != nil || u.Scheme != "http" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("-other must be like http://127.0.0.1:8080, got %q; a path is given by -other-path", o.otherURL)
	}
	if !strings.HasPrefix(o.otherPath, "/") {
		return fmt.Errorf("-other-path must begin with /, got %q", o.otherPath)
	}
	o.otherAddr = u.Host
	return nil
}

// otherCases are what other servers can be compared in: a request of a visitor
// that may pass, and what one gets that may not yet.
func (b *bench) otherCases(ctx context.Context) ([]kase, error) {
	if err := (&server{}).await(ctx, b.otherAddr); err != nil {
		return nil, fmt.Errorf("-other: %w", err)
	}
	get, post := b.otherRequest("GET", true), b.otherRequest("POST", true)
	for _, request := range [][]byte{get, post} {
		status, body, err := ask(b.otherAddr, request)
		if err != nil {
			return nil, fmt.Errorf("-other: %w", err)
		}
		if status != http.StatusOK || body != answerText {
			return nil, fmt.Errorf("-other: %s %s was answered with %d, and not by the upstream %s: is it in front of that? "+
				"What a visitor sends that it has let in is given by -other-header", bytes.Fields(request)[0], b.otherPath, status, b.upstream.addr)
		}
	}
	list := []kase{
		cases()[0],
		{name: "cleared-get", prepare: cleared(clearing, "GET", ""), other: get, otherStatus: http.StatusOK},
		{name: "cleared-post", prepare: cleared(clearing, "POST", form("")), other: post, otherStatus: http.StatusOK},
	}
	stranger := b.otherRequest("GET", false)
	status, body, err := ask(b.otherAddr, stranger)
	if err != nil {
		return nil, fmt.Errorf("-other: %w", err)
	}
	if body == answerText {
		fmt.Fprintln(os.Stderr, "the other server lets a GET without -other-header pass: there is no challenge to compare")
		return list, nil
	}
	fmt.Fprintf(os.Stderr, "the other server's challenge: status %d, %d bytes\n", status, len(body))
	return append(list, kase{name: "challenge-page", prepare: answerOfOurs("page.html", acceptHTML), other: stranger, otherStatus: status}), nil
}

// otherRequest is like those to our servers, with what -other-header says.
func (b *bench) otherRequest(method string, cleared bool) []byte {
	body, kind := "", ""
	if method == "POST" {
		body, kind = form(""), urlencoded
	}
	r := request(method, b.otherAddr, b.otherPath, "", acceptHTML, kind, body)
	if !cleared {
		return r
	}
	for _, line := range b.otherHeaders {
		r = withHeader(r, line)
	}
	return r
}

// withHeader adds a line to the headers of a request, in place of one of that
// name.
func withHeader(request []byte, line string) []byte {
	head, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	name, _, _ := strings.Cut(line, ":")
	var lines []string
	for have := range strings.SplitSeq(string(head), "\r\n") {
		if other, _, _ := strings.Cut(have, ":"); !strings.EqualFold(other, name) {
			lines = append(lines, have)
		}
	}
	return append([]byte(strings.Join(append(lines, line), "\r\n")+"\r\n\r\n"), body...)
}

// ask sends one request and returns the answer as it comes.
func ask(addr string, request []byte) (status int, body string, err error) {
	c, err := dial(addr)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write(request); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16*mb))
	return resp.StatusCode, string(text), err
}

// otherLoad sends the requests of a case to the other server.
func (b *bench) otherLoad(c kase) (*load, error) {
	l, err := newLoad(&server{pid: b.otherPID}, b.otherAddr, b.connections, c.otherStatus)
	if err == nil {
		l.request = c.other
	}
	return l, err
}

// reportOther writes the comparison with another server in Markdown.
func reportOther(w io.Writer, results []result, cpu bool) {
	metric := func(head, format string, unit float64, of func(sample) float64) {
		fmt.Fprintf(w, "| %s | plain | captcha | other | captcha to plain | quartiles | other to plain | quartiles |\n|---|--:|--:|--:|--:|--:|--:|--:|\n", head)
		for _, r := range results {
			ours := r.ratios(of)
			line := fmt.Sprintf("| %s | "+format+" | "+format, r.name, unit*median(r.plain, of), unit*median(r.ours, of))
			if r.others == nil {
				fmt.Fprintf(w, "%s | | **%.3f** | %.2f…%.2f | | |\n", line, ours.median, ours.q1, ours.q3)
				continue
			}
			others := result{plain: r.plain, ours: r.others}.ratios(of)
			fmt.Fprintf(w, "%s | "+format+" | **%.3f** | %.2f…%.2f | **%.3f** | %.2f…%.2f |\n", line, unit*median(r.others, of),
				ours.median, ours.q1, ours.q3, others.median, others.q1, others.q3)
		}
		fmt.Fprintln(w)
	}
	metric("requests per second", "%.0f", 1, sample.rate)
	if cpu {
		metric("CPU time per request, µs", "%.1f", 1e6, sample.cpuPerReq)
	}
	metric("latency, ms, p50", "%.2f", 1e3, p50)
	metric("latency, ms, p99", "%.2f", 1e3, p99)
}
