// Package statuspage serves one page about the health of CAPTCHA providers to
// the operator's browser. Caddy's admin API refuses browsers, and is right: this
// server stands between the two, and lets through what the page needs.
//
// The page's path is a secret of 128 bits. Beyond it, the server answers only
// where the Host header is an IP address or localhost, so that no name of another
// site can be made to point here; and it acts only where Origin is its own and
// the request has the token that the page was given.
package statuspage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed" // of the page
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Admin is what the page may do with Caddy's admin API.
type Admin interface {
	// Status returns the document of /captcha/status.
	Status(ctx context.Context) ([]byte, error)
	// Drill makes the provider of an id count as down for a time such as 10m.
	Drill(ctx context.Context, provider, lasts string) error
	// EndDrill ends that.
	EndDrill(ctx context.Context, provider string) error
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// Page is the server of the page.
type Page struct {
	admin Admin
	path  string // "/" + secret + "/"
	token string
	html  []byte
	csp   string
}

// maxBody is what a request may carry.
const maxBody = 1 << 10

// tokenHeader carries the page's token; a form of another site cannot set it.
const tokenHeader = "Drill-Token"

// New makes a page with a path and a token of its own.
func New(admin Admin) *Page {
	p := &Page{admin: admin, path: "/" + secret() + "/", token: secret()}
	p.html = []byte(strings.NewReplacer("{{css}}", pageCSS, "{{js}}", pageJS, "{{token}}", p.token).Replace(pageHTML))
	p.csp = "default-src 'none'; script-src " + hash(pageJS) + "; style-src " + hash(pageCSS) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return p
}

// Path is where the page is. Whoever knows it may start drills.
func (p *Page) Path() string { return p.path }

func secret() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if !literal(r.Host) {
		http.Error(w, "open this page by its IP address, as it was printed", http.StatusMisdirectedRequest)
		return
	}
	n := min(len(p.path), len(r.URL.Path))
	if subtle.ConstantTimeCompare([]byte(r.URL.Path[:n]), []byte(p.path)) != 1 {
		http.Error(w, "there is nothing here; the address that was printed has a secret path", http.StatusNotFound)
		return
	}
	switch what := r.URL.Path[n:]; {
	case what == "" && r.Method == http.MethodGet:
		h.Set("Content-Security-Policy", p.csp)
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(p.html)
	case what == "status" && r.Method == http.MethodGet:
		p.status(w, r)
	case what == "drill" && r.Method == http.MethodPost:
		p.drill(w, r)
	default:
		http.Error(w, "not found", http.StatusNotFound)
	}
}

// literal reports whether a Host header names an IP address or localhost, which
// no DNS server of an attacker's can answer for.
func literal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func (p *Page) status(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		http.Error(w, "this is for the page only", http.StatusForbidden)
		return
	}
	doc, err := p.admin.Status(r.Context())
	if err != nil {
		fail(w, http.StatusBadGateway, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(doc)
}

// drill begins a drill; one for no time ends it.
func (p *Page) drill(w http.ResponseWriter, r *http.Request) {
	// a browser sends Origin with every POST
	if r.Header.Get("Origin") != "http://"+r.Host || subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(p.token)) != 1 {
		fail(w, http.StatusForbidden, "this is for the page only; load it again")
		return
	}
	var ask struct{ Provider, For string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&ask); err != nil || ask.Provider == "" {
		fail(w, http.StatusBadRequest, `send {"provider": "…", "for": "10m"}`)
		return
	}
	var err error
	if ask.For == "" {
		err = p.admin.EndDrill(r.Context(), ask.Provider)
	} else {
		err = p.admin.Drill(r.Context(), ask.Provider, ask.For)
	}
	if err != nil {
		fail(w, http.StatusBadGateway, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// fail answers with an error that the page can show.
func fail(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
}
