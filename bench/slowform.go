//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

const boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW"

// slowForm is a form with a file, and the token behind it.
type slowForm struct{ head []byte }

const slowTokenRoom = 1 << 10 // the token's part is filled up to this

// newSlowForm returns a form of which some KB are sent at once.
func newSlowForm(addr string, early int) slowForm {
	part := fmt.Sprintf("--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"film.mp4\"\r\nContent-Type: video/mp4\r\n\r\n", boundary)
	early = max(0, early<<10-len(part))
	size := len(part) + early + slowSeconds<<10 + len(slowEnd(""))
	return slowForm{fmt.Appendf(nil, "POST /form HTTP/1.1\r\nHost: %s\r\nContent-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n%s%s",
		addr, boundary, size, part, strings.Repeat("x", early))}
}

// slowEnd is what comes last: always as long, whether there is a token or not.
func slowEnd(token string) string {
	part := fmt.Sprintf("\r\n--%s\r\nContent-Disposition: form-data; name=\"altcha\"\r\n\r\n%s\r\n--%s\r\nContent-Disposition: form-data; name=\"filler\"\r\n\r\n",
		boundary, token, boundary)
	tail := "\r\n--" + boundary + "--\r\n"
	return part + strings.Repeat("x", max(0, slowTokenRoom-len(part)-len(tail))) + tail
}

// slowUpload is one connection. Who is refused too early learns it at the end.
type slowUpload struct {
	net.Conn
	status int   // of the answer
	err    error // in its place
}

// begin sends what comes at once. The uploads are of 32 networks; as all of them are
// loopback, the room is not shared out.
func (f slowForm) begin(addr string, i int) (*slowUpload, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i%32), 1)}}
	c, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	u := &slowUpload{Conn: c}
	u.write(f.head)
	return u, nil
}

// write sends some of the body. That the server has closed its side shows when
// the answer is read.
func (u *slowUpload) write(b []byte) { _, _ = u.Write(b) }

// end sends the token and reads the answer.
func (u *slowUpload) end(token string) {
	_ = u.SetDeadline(time.Now().Add(time.Minute))
	u.write([]byte(slowEnd(token)))
	c := conn{Conn: u.Conn, r: bufio.NewReaderSize(u.Conn, 4<<10)}
	if u.status, u.err = c.answer(); u.err != nil {
		u.status = 0
	}
	u.close()
}

func (u *slowUpload) close() {
	if u != nil {
		_ = u.Close()
	}
}
