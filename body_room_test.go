package captcha

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

// pieces is a body without a token that comes piece by piece, and notes into how
// much room it is read.
type pieces struct {
	size, left int
	room       []int
}

func (p *pieces) Read(b []byte) (int, error) {
	p.room = append(p.room, len(b))
	if p.left == 0 {
		return 0, io.EOF
	}
	p.left--
	n := min(p.size, len(b))
	copy(b, "a="+strings.Repeat("x", n-2))
	return n, nil
}

func (p *pieces) Close() error { return nil }

// Thousands of clients may be waited for at once, which takes a small buffer each. What
// has come is read in larger pieces.
func TestSlowBodiesAreWaitedForWithLittle(t *testing.T) {
	s := newStage(t, &Handler{MaxBuffer: 1 << 10, MaxBody: 10 << 20})
	for _, c := range []struct {
		size int // of what comes at once
		want int // the room in which what comes next is waited for
	}{
		{100, waitChunk},
		{waitChunk + 1, waitChunk},
		{1 << 20, spillChunk},
	} {
		body := &pieces{size: c.size, left: 40}
		r := s.request("POST", "", "Content-Type", formType)
		r.Body, r.ContentLength = body, -1
		f, err := s.extract(httptest.NewRecorder(), r)
		if err != nil {
			t.Fatal(err)
		}
		f.release()
		if got := body.room[len(body.room)-1]; got != c.want {
			t.Errorf("after pieces of %d bytes one is waited for with %d bytes of room, want %d", c.size, got, c.want)
		}
	}
}

// A form of which much comes at once, and then nothing for long, is not waited for with
// the large buffer that took what came.
func TestStalledBodiesAreWaitedForWithLittle(t *testing.T) {
	s := newStage(t, &Handler{MaxBuffer: 4 << 10, MaxBody: 10 << 20})
	came, rest := "a="+strings.Repeat("x", 64<<10), new(pieces)
	r := s.request("POST", "", "Content-Type", formType)
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(came), rest)), -1
	f, err := s.extract(httptest.NewRecorder(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	if got := rest.room[0]; got != waitChunk {
		t.Errorf("waited for with %d bytes of room, want %d", got, waitChunk)
	}
}

// Memory holds max_buffer and a file the rest, where max_body leaves one.
func TestBodiesAreHeldWhereTheyFit(t *testing.T) {
	const inMem, ready = 4 << 10, 4 << 10
	s := newStage(t, &Handler{MaxBuffer: inMem})
	for _, c := range []struct {
		size            int
		maxBody, onDisk int64
		tooLong         bool
	}{
		{inMem - 1, inMem, 0, false},
		{inMem, inMem, 0, false},
		{inMem + 1, inMem, 0, true},
		{inMem, 1 << 20, 0, false},
		{inMem + 1, 1 << 20, 1, false},
		{inMem + waitChunk, 1 << 20, waitChunk, false},
		{inMem + ready, 1 << 20, ready, false},
		{inMem + ready + spillChunk, 1 << 20, ready + spillChunk, false},
		{inMem + ready + spillChunk + 1, 1 << 20, ready + spillChunk + 1, false},
		{1 << 20, 1 << 20, 1<<20 - inMem, false},
		{1<<20 + 1, 1 << 20, 1<<20 + 1 - inMem, true},
	} {
		s.MaxBody = c.maxBody
		body := "a=" + strings.Repeat("0123456789", c.size/10+1)[:c.size-2]
		f, err := s.extract(httptest.NewRecorder(), s.request("POST", body))
		no, _ := errors.AsType[*badRequest](err)
		if tooLong := no != nil && no.reason == reasonTooLarge; tooLong != c.tooLong || err != nil && !tooLong {
			t.Errorf("%d bytes of %d: %v", c.size, c.maxBody, err)
		}
		if f.body.onDisk != c.onDisk || (f.body.file != nil) != (c.onDisk > 0) {
			t.Errorf("%d bytes of %d: %d in a file, want %d", c.size, c.maxBody, f.body.onDisk, c.onDisk)
		}
		got, err := io.ReadAll(f.body)
		if err != nil {
			t.Error(err)
		}
		sameBytes(t, got, body)
		f.release()
	}
}

// A body that is as long as what memory holds is not copied again for its last byte.
func TestHeldBodyGrows(t *testing.T) {
	for _, c := range []struct {
		limit int64
		want  []int
	}{
		{64 << 10, []int{4 << 10, 16 << 10, 64 << 10}},
		{64<<10 + 1, []int{4 << 10, 16 << 10, 64<<10 + 1}},
		{4 << 10, []int{4 << 10}},
		{1 << 10, []int{1 << 10}},
		{100 << 10, []int{4 << 10, 16 << 10, 64 << 10, 100 << 10}},
	} {
		var room budgets
		room.memory.limit.Store(1 << 20)
		b := &heldBody{budgets: &room}
		for _, want := range c.want {
			if !b.grow(c.limit) || cap(b.mem) != want || room.memory.used.Load() != int64(want) {
				t.Errorf("of %d: room for %d, %d taken, want %d", c.limit, cap(b.mem), room.memory.used.Load(), want)
			}
			b.mem = b.mem[:cap(b.mem)]
		}
		b.free()
		if used := room.memory.used.Load(); used != 0 {
			t.Errorf("%d bytes are not given back", used)
		}
	}
}
