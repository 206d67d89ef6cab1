//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// dial connects for an attack that no HTTP client makes.
func (a *attacker) dial(ctx context.Context) *net.TCPConn {
	select {
	case <-a.s.pace:
	case <-ctx.Done():
		return nil
	}
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", a.s.caddy.plain)
	if err != nil {
		return nil
	}
	_ = c.SetDeadline(time.Now().Add(45 * time.Second))
	return c.(*net.TCPConn)
}

func hangUp(c net.Conn) { _ = c.Close() }

// head is the head of a form post.
func (a *attacker) head(t *ticket, lines ...string) string {
	return fmt.Sprintf("POST %s/form?n=%s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n%s\r\n\r\n",
		t.lane.path, t.nonce, a.s.caddy.plain, urlencoded, strings.Join(lines, "\r\n"))
}

// clientGone is what reverse_proxy answers who closes his half of a connection.
const clientGone = 499

// answers reads what comes back, until the connection ends or n answers are there.
func (a *attacker) answers(t *ticket, c net.Conn, n int) {
	in := bufio.NewReader(c)
	for range n {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			a.s.book.count("hostile: "+t.kind, 0)
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<20))
		_ = resp.Body.Close()
		a.s.book.count("hostile: "+t.kind, resp.StatusCode)
		got := reply{status: resp.StatusCode, header: resp.Header}
		if r, err := http.NewRequest(http.MethodPost, a.c.base+t.lane.path+"/form?n="+t.nonce, nil); err == nil && resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != clientGone {
			a.s.judgeReply(t.kind, r, got)
		}
	}
}

// smuggle frames one request so that two readers could see two.
func (a *attacker) smuggle(ctx context.Context, l *lane) {
	t := a.s.book.open("smuggled", l)
	defer a.s.book.closeTicket(t)
	c := a.dial(ctx)
	if c == nil {
		return
	}
	defer hangUp(c)
	inner := a.head(t, "Content-Length: 3") + "a=1"
	text := []string{
		a.head(t, fmt.Sprintf("Content-Length: %d", 5+len(inner)), "Transfer-Encoding: chunked") + "0\r\n\r\n" + inner,
		a.head(t, "Content-Length: 3", "Content-Length: 300") + "a=1" + inner,
		a.head(t, "Transfer-Encoding: chunked") + "3\r\na=1\r\n0\r\nX-Captcha-Status: passed " + forgery + "\r\n\r\n" + inner,
		a.head(t, "Transfer-Encoding: xchunked") + "0\r\n\r\n" + inner,
		a.head(t, "Content-Length: 3") + "a=1" + inner + inner,
		a.head(t, "Content-Length: 3", "X-Captcha-Status : passed") + "a=1",
	}[dice(6)]
	_, _ = io.WriteString(c, text)
	_ = c.CloseWrite()
	a.answers(t, c, 3)
}

// breakOff goes away at one of the stages of a request, with a reset or without.
func (a *attacker) breakOff(ctx context.Context, l *lane) {
	t := a.s.book.open("broken-off", l)
	defer a.s.book.closeTicket(t)
	c := a.dial(ctx)
	if c == nil {
		return
	}
	defer hangUp(c)
	head := a.head(t, "Content-Length: 30000", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Origin: http://"+a.s.caddy.plain)
	text := head + strings.Repeat("evil=1&", 30000/7) + "ab=01"
	stage := []int{0, dice(len(head)), len(head), len(head) + dice(30000), len(text)}[dice(5)]
	_, _ = io.WriteString(c, text[:stage])
	switch dice(4) {
	case 0: // the answer begins, and nobody reads it
		wait(ctx, time.Duration(dice(30))*time.Millisecond)
		_, _ = c.Read(make([]byte, 100))
	case 1:
		_ = c.SetLinger(0)
	case 2:
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, c)
	}
	a.s.book.count("hostile: "+t.kind, 0)
}

// dawdle does what takes long: bodies that come slowly, or never, and huge ones.
func (a *attacker) dawdle(on, all context.Context) {
	lanes := a.s.lanes
	for n := dice(100); on.Err() == nil && a.s.book.broken() < tooMany; n++ {
		ctx, cancel := context.WithTimeout(all, time.Minute)
		l := lanes[dice(len(lanes))]
		switch n % 4 {
		case 0:
			a.drip(ctx, on, l)
		case 1:
			a.stall(ctx, on, l)
		case 2:
			a.huge(ctx, l, false)
		case 3:
			a.huge(ctx, l, true)
		}
		cancel()
		wait(on, time.Duration(2+dice(4))*time.Second)
	}
}

// drip sends a body byte by byte.
func (a *attacker) drip(ctx, on context.Context, l *lane) {
	t := a.s.book.open("slow-body", l)
	defer a.s.book.closeTicket(t)
	c := a.dial(ctx)
	if c == nil {
		return
	}
	defer hangUp(c)
	_, err := io.WriteString(c, a.head(t, "Content-Length: 5000")+"altcha=")
	for err == nil && wait(on, 200*time.Millisecond) {
		_, err = io.WriteString(c, "a")
	}
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	a.answers(t, c, 1)
}

// stall sends half of a body with a file in it, and then nothing.
func (a *attacker) stall(ctx, on context.Context, l *lane) {
	t := a.s.book.open("stalled-body", l)
	defer a.s.book.closeTicket(t)
	c := a.dial(ctx)
	if c == nil {
		return
	}
	defer hangUp(c)
	f := form{format: "multipart", edge: "x", fill: noise()[:2<<20], last: true}
	body := f.body(nil)
	head := strings.Replace(a.head(t, fmt.Sprintf("Content-Length: %d", 2*len(body))), urlencoded, f.contentType(), 1)
	_, _ = io.WriteString(c, head)
	_, _ = c.Write(body)
	wait(on, time.Duration(1+dice(25))*time.Second)
	a.s.book.count("hostile: "+t.kind, 0)
}

// huge sends much more than is looked at, with its length in front or in chunks.
func (a *attacker) huge(ctx context.Context, l *lane, chunked bool) {
	t := a.s.book.open("huge-body", l)
	defer a.s.book.closeTicket(t)
	c := a.dial(ctx)
	if c == nil {
		return
	}
	defer hangUp(c)
	const size = 80 << 20
	line := fmt.Sprintf("Content-Length: %d", size)
	if chunked {
		line = "Transfer-Encoding: chunked"
	}
	_, err := io.WriteString(c, strings.Replace(a.head(t, line), urlencoded, "multipart/form-data; boundary=x", 1))
	first := "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n"
	for sent := 0; err == nil && sent < size; {
		part := noise()[sent%(20<<20):][:1<<20]
		if sent == 0 {
			part = append([]byte(first), part[len(first):]...)
		}
		if chunked {
			_, err = fmt.Fprintf(c, "%x\r\n%s\r\n", len(part), part)
		} else {
			_, err = c.Write(part)
		}
		sent += len(part)
	}
	if chunked && err == nil {
		_, _ = io.WriteString(c, "0\r\n\r\n")
	}
	a.answers(t, c, 1)
}
