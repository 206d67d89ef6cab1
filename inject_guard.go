package captcha

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	guardAnswer = "answer"
	guardBehind = "behind"
)

// answerStray answers a question for a challenge that no captcha handler in front
// has answered.
func (s stripHandler) answerStray(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if s.Guard == guardBehind {
		q := &question{w: w, ctx: r.Context()}
		over, cancel := context.WithCancel(context.WithValue(r.Context(), questionKey{}, q))
		cancel()
		asked := r.Clone(over)
		asked.Body = http.NoBody
		_ = next.ServeHTTP(new(nowhere), asked) // whatever comes of it, the app was not asked
		if q.answered {
			return nil
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// question is what a guard leaves to the captcha handlers behind it: the writer
// and the context to answer with. It lives in the context.
type question struct {
	w        http.ResponseWriter
	ctx      context.Context
	answered bool
}

type questionKey struct{}

// questioned returns what to answer a question for a challenge with.
func questioned(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	q, ok := r.Context().Value(questionKey{}).(*question)
	if !ok {
		return w, r
	}
	q.answered = true
	return q.w, r.WithContext(q.ctx)
}

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header {
	if n.header == nil {
		n.header = make(http.Header)
	}
	return n.header
}

func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (n *nowhere) WriteHeader(int) {}
