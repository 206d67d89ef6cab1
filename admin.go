package captcha

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI is the module that adds our endpoints to Caddy's admin API:
//
//	GET    /captcha/status            what is known of every provider
//	POST   /captcha/drill/<provider>  makes a provider count as down: {"for": "10m"}
//	DELETE /captcha/drill/<provider>  ends that
//
// A provider is named by its name, which means all of that name, or by its id.
type adminAPI struct{}

// maxDrill is how long a drill may last: one that is forgotten ends.
const maxDrill = 24 * time.Hour

// runningStore is the store of the running config.
var runningStore atomic.Pointer[keeper]

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.captcha", New: func() caddy.Module { return new(adminAPI) }}
}

// Routes implements caddy.AdminRouter.
func (a adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/captcha/status", Handler: caddy.AdminHandlerFunc(a.status)},
		{Pattern: "/captcha/drill/", Handler: caddy.AdminHandlerFunc(a.drill)},
	}
}

// statusDoc is the answer of /captcha/status.
type statusDoc struct {
	Now       time.Time     `json:"now"`     // of this machine's clock
	Started   time.Time     `json:"started"` // what was before is not known
	Providers []providerDoc `json:"providers"`
	Policies  []policyDoc   `json:"policies"`
	Store     storeDoc      `json:"store"`
}

type providerDoc struct {
	ID             string      `json:"id"`
	Name           string      `json:"name"`
	State          state       `json:"state"`
	Since          time.Time   `json:"since"`
	Reached        bool        `json:"reached"`
	Misconfigured  bool        `json:"misconfigured"`
	ThrottledUntil *time.Time  `json:"throttled_until"`
	Drill          bool        `json:"drill"`
	BypassCheck    string      `json:"bypass_check"`
	LastProbe      *probeDoc   `json:"last_probe"`
	FailedOver     int64       `json:"failed_over"`
	Outages        []outageDoc `json:"outages"`
}

type probeDoc struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error"`
}

type outageDoc struct {
	Start      time.Time  `json:"start"`
	End        *time.Time `json:"end"`
	Evidence   string     `json:"evidence"`
	FailedOver int64      `json:"failed_over"`
	Drill      bool       `json:"drill"`
}

type storeDoc struct {
	Kind string `json:"kind"`
	OK   bool   `json:"ok"`
}

func (adminAPI) status(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return adminError(http.StatusMethodNotAllowed, "method %s is not allowed; use GET", r.Method)
	}
	now := time.Now()
	doc := statusDoc{Now: now.UTC(), Started: began.UTC(), Providers: []providerDoc{}, Policies: policyDocs(now), Store: storeDoc{OK: true}}
	if k := runningStore.Load(); k != nil {
		doc.Store.Kind, doc.Store.OK = k.kind, !k.away()
	}
	for _, h := range allHealths() {
		doc.Providers = append(doc.Providers, h.doc(now))
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(doc)
}

// allHealths lists the health of every provider in use, in a stable order.
func allHealths() []*health {
	var all []*health
	healths.Range(func(_, value any) bool {
		all = append(all, value.(*health))
		return true
	})
	slices.SortFunc(all, func(a, b *health) int { return strings.Compare(a.name+a.id, b.name+b.id) })
	return all
}

// doc is what the admin API tells of a provider.
func (h *health) doc(now time.Time) providerDoc {
	o := h.overview(now)
	d := providerDoc{
		ID: h.id, Name: h.name, State: o.state, Since: o.since.UTC(), Reached: o.reached,
		Misconfigured: o.wrong, ThrottledUntil: timeOrNull(o.throttled), Drill: o.drill, BypassCheck: o.mode,
		Outages: []outageDoc{},
	}
	if !o.last.At.IsZero() {
		d.LastProbe = &probeDoc{At: o.last.At.UTC(), OK: o.last.Err == "", Error: o.last.Err}
	}
	for _, x := range o.outages {
		d.FailedOver += x.FailedOver
		d.Outages = append(d.Outages, outageDoc{x.Start.UTC(), timeOrNull(x.End), x.Evidence, x.FailedOver, x.Drill})
	}
	return d
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (adminAPI) drill(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/captcha/drill/")
	var chosen []*health
	for _, h := range allHealths() {
		if name == h.name || name == h.id {
			chosen = append(chosen, h)
		}
	}
	if len(chosen) == 0 {
		return adminError(http.StatusNotFound, "there is no provider %q whose health is known; see /captcha/status", name)
	}
	now := time.Now()
	switch r.Method {
	case http.MethodPost:
		d, err := drillTime(r)
		if err != nil {
			return adminError(http.StatusBadRequest, "%v", err)
		}
		for _, h := range chosen {
			h.drill(now.Add(d), now)
		}
	case http.MethodDelete:
		for _, h := range chosen {
			h.stopDrill(now)
		}
	default:
		return adminError(http.StatusMethodNotAllowed, "method %s is not allowed; use POST or DELETE", r.Method)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// drillTime reads how long a drill is to last.
func drillTime(r *http.Request) (time.Duration, error) {
	var body struct {
		For string `json:"for"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<10)).Decode(&body); err != nil {
		return 0, errors.New(`send {"for": "10m"}`)
	}
	d, err := caddy.ParseDuration(body.For)
	if err != nil || d <= 0 || d > maxDrill {
		return 0, fmt.Errorf("a drill lasts at most 24h: write a duration such as 10m, got %q", body.For)
	}
	return d, nil
}

func adminError(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

var _ caddy.AdminRouter = adminAPI{}
