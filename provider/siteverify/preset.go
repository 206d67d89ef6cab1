package siteverify

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// preset is one provider of the family: a row of the table. Everything that
// tells one provider from another is in it.
type preset struct {
	name string // of the module and the Caddyfile
	// metered says that every verification, a probe's too, counts against a quota
	metered bool
	page    string // the documentation that the row follows

	// the token
	field    string         // the form field
	max      int            // the longest token, in bytes
	lifetime time.Duration  // how long, at the longest, a token can pass
	shape    *regexp.Regexp // nil: printable ASCII without space
	unsolved string         // the prefix of what an unsolved widget submits
	// boundTo reads the site key out of a token that names one, with "" for a
	// token of a form that names none. It is for providers that would verify
	// the token of any site key.
	boundTo func(token string) (siteKey string, err error)
	// probe makes the fixed token of a probe; nil: probeToken.
	probe func(siteKey string) string

	// the call
	endpoint string // "" where it is the operator's own: verify_url is required
	ask      call

	// the answer
	pass     []condition // all hold, else it is no pass
	failover []condition // all hold: a pass because of the provider's trouble
	codes    []string    // where the codes are; the first that is there counts
	meanings map[string]meaning
	statuses map[int]meaning // documented statuses below 500, but 200 and 429
	hostname string          // where the answer names the host
	action   string          // where the answer names the action
	score    string          // where the answer has a score
	risk     bool            // the score is 1 for a bot, not for a human
	minScore float64         // the default of min_score

	// published keys and tokens, which pass or fail without a human
	testKeys   []string
	testTokens []string

	widget widget
}

// encoding is how parameters are sent.
type encoding uint8

const (
	form   encoding = iota // application/x-www-form-urlencoded
	asJSON                 // application/json
	raw                    // the token alone, as text/plain
	query                  // in the URL, with GET: the secret too
)

// call says how to ask. An empty name is a parameter that is not sent.
type call struct {
	encoding encoding
	wrap     string // the JSON member that holds all parameters

	secret, token, siteKey, action string // parameters
	// idempotency is a random id of the submission: asked with the same one,
	// the service gives its first answer again, so a lost answer can be had.
	idempotency                 string
	secretHeader, siteKeyHeader string // headers
}

// condition holds where the answer has this value at this path, of this type.
type condition struct {
	path string
	want any // bool, string or float64
}

// meaning is what a code or a status says.
type meaning struct {
	reason provider.Reason // the client's fault, for this reason
	class  provider.Class  // or no verdict, of this class
	// ours says that it is Misconfigured in the answer to a probe: a client
	// can bring it about with a token of somebody else's, the probe cannot.
	ours bool
	// test is a pass of a test key.
	test bool
}

var (
	missing       = meaning{reason: provider.TokenMissing}
	invalid       = meaning{reason: provider.TokenInvalid}
	expired       = meaning{reason: provider.TokenExpired}
	duplicate     = meaning{reason: provider.TokenDuplicate}
	mismatch      = meaning{reason: provider.TokenInvalid, ours: true}
	testPass      = meaning{reason: provider.TokenInvalid, test: true}
	unavailable   = meaning{class: provider.Unavailable}
	misconfigured = meaning{class: provider.Misconfigured}
	throttled     = meaning{class: provider.Throttled}
)

// widget is what shows the provider's widget on a page of ours.
type widget struct {
	script string // whole, or a path at the host of verify_url
	module bool
	render bool   // the script's URL takes ?render=<site key>
	markup string // html/template of a widgetData
	glue   string // JavaScript, in which {action} is the action as a string
	csp    map[string][]string
	// at is where a self-hosted provider shows its widget; see widget_url.
	at string
}

// hasProject reports whether the service is asked for one project of its own.
func (p *preset) hasProject() bool { return strings.Contains(p.endpoint, "{project}") }

func (p *preset) method() string {
	if p.ask.encoding == query {
		return http.MethodGet
	}
	return http.MethodPost
}
