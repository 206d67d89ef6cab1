package captcha

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/web"
)

// link is one provider of a chain.
type link struct {
	provider provider.Provider
	name     string
	identity string            // name and configuration; never shown
	digest   [sha256.Size]byte // of identity; never shown either
	fields   []string          // of its tokens
	widget   *web.Widget       // nil where it has none
	health   *health           // nil where the provider cannot be asked for it: it is never down
	watched  bool              // health is held for this link
	check    *BypassCheck
	tally    tally
	signed   atomic.Pointer[role] // the role that was signed last, for any situation
}

// standing is how the provider stands now. One that cannot be asked stands well.
func (l *link) standing(now time.Time) standing {
	if l.health == nil {
		return standing{}
	}
	return l.health.standing(now)
}

// newLink prepares a provider that is bound.
func newLink(p provider.Provider, name string) (*link, error) {
	config, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	l := &link{provider: p, name: name, identity: name + "\x00" + string(config), fields: p.Fields(), tally: newTally(name)}
	l.digest = sha256.Sum256([]byte(l.identity))
	if has, ok := p.(provider.Presenter); ok {
		w := web.Widget(has.Widget())
		l.widget = &w
	}
	return l, nil
}

// shown is the widget that a page shows for a provider; nil where our own solver
// does the work.
func (l *link) shown() *web.Widget {
	if w := l.widget; w != nil && (w.Script != "" || w.Markup != "" || w.Glue != "") {
		return w
	}
	return nil
}

// doubt asks for a confirmation after a failed verification, waits for its word,
// at most until ctx is done, and returns how the provider stands then.
func (l *link) doubt(ctx context.Context) standing {
	if l.health != nil {
		l.health.wait(ctx, l.health.doubt())
	}
	return l.standing(time.Now())
}

// nextFallback returns the strongest fallback that can serve; nil where none is
// left.
func (h *Handler) nextFallback(now time.Time) *link {
	for _, l := range h.chain[1:] {
		if l.standing(now).situation() == "" {
			return l
		}
	}
	return nil
}

// issuer returns the provider whose challenge the visitor gets, and the role in
// which it is issued.
func (h *Handler) issuer(ctx context.Context, d decision, now time.Time) (*link, string, error) {
	if d.fallback {
		if l := h.nextFallback(now); l != nil {
			text, err := h.roleText(ctx, d.failover)
			return l, text, err
		}
	}
	return h.chain[0], "", nil
}

// role is what a fallback's challenge is signed for.
type role struct {
	situation situation
	keyID     string
	mac       string // of the primary's identity: nobody learns it, every node can check it
}

const rolePrefix = "fb"

// roleText is the role of a fallback's challenge for this chain's primary.
func (h *Handler) roleText(ctx context.Context, s situation) (string, error) {
	keyID, err := h.roles.KeyID(ctx)
	if err != nil {
		return "", err
	}
	mac, err := h.roleMAC(ctx, keyID)
	if err != nil {
		return "", err
	}
	return strings.Join([]string{rolePrefix, string(s), keyID, mac}, ":"), nil
}

// roleMAC signs the primary's identity. In an outage every post asks for that, so it
// is remembered for the key that signs now.
func (h *Handler) roleMAC(ctx context.Context, keyID string) (string, error) {
	if known := h.chain[0].signed.Load(); known != nil && known.keyID == keyID {
		if current, err := h.roles.KeyID(ctx); err == nil && current == keyID {
			return known.mac, nil
		}
	}
	mac, err := h.roles.MAC(ctx, keyID, []byte(h.chain[0].identity))
	if err != nil {
		return "", err
	}
	r := &role{keyID: keyID, mac: hex.EncodeToString(mac[:12])}
	h.chain[0].signed.Store(r)
	return r.mac, nil
}

// parseRole reads a role that a provider of ours has signed.
func parseRole(text string) (role, bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 || parts[0] != rolePrefix {
		return role{}, false
	}
	r := role{situation: situation(parts[1]), keyID: parts[2], mac: parts[3]}
	_, known := policyTable[r.situation]
	return r, known
}

// ours reports whether the role is for this chain's primary.
func (h *Handler) ours(ctx context.Context, r role) bool {
	want, err := h.roleMAC(ctx, r.keyID)
	return err == nil && hmac.Equal([]byte(want), []byte(r.mac))
}

// entitled reports whether a fallback's token counts now (docs/threat-model.md, promise 4).
func (h *Handler) entitled(ctx context.Context, token provider.Token, at standing, now time.Time) bool {
	if token.Issued.IsZero() { // not signed by us: only the situation can be judged
		s := at.situation()
		if s == "" && !at.end.IsZero() && now.Sub(at.end) <= h.policy.grace {
			s = unreachable
		}
		return s != "" && h.policy.action(s, at, now) == fallback
	}
	r, ok := parseRole(token.Role)
	return ok && h.ours(ctx, r) && h.policy.stepsDown(r.situation) && h.policy.entitled(r, token.Issued, at, now)
}
