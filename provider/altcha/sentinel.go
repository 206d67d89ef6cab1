package altcha

import (
	"net/url"
	"strconv"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// The members of Sentinel's server signature. apiKey and id are not signed, and
// count for nothing.
var (
	sentinelMembers  = []string{"algorithm", "verificationData", "signature", "verified"}
	sentinelOptional = []string{"apiKey", "id"}
)

// parseSentinel checks a server signature: the HMAC of the hash of
// verificationData. Unlike the libraries, it takes no SHA-1, and nothing that
// never expires.
func (p *Provider) parseSentinel(req provider.Request, doc value) (provider.Token, error) {
	if !doc.only(sentinelMembers, sentinelOptional) {
		return provider.Token{}, invalid("payload: a member is missing or unknown")
	}
	for _, m := range doc.members {
		if (m.value.kind == '"') == (m.name == "verified") {
			return provider.Token{}, invalid("payload: a member of another type")
		}
	}
	h := hashes[doc.get("algorithm").text]
	if h == nil {
		return provider.Token{}, invalid("the algorithm is none of SHA-256, SHA-384 and SHA-512")
	}
	text, signature := doc.get("verificationData").text, doc.get("signature").text
	sum := h()
	sum.Write([]byte(text))
	if !isHex(signature, 2*h().Size()) || !p.signed(h, sum.Sum(nil), signature) {
		return provider.Token{}, invalid("the signature is wrong")
	}
	data, err := url.ParseQuery(text)
	if err != nil || len(data["expire"]) != 1 || len(data["verified"]) != 1 {
		return provider.Token{}, invalid("verificationData does not say once when it expires and whether it verified")
	}
	expires, ok := decimal(data.Get("expire"))
	if !ok {
		return provider.Token{}, invalid("expire is not a Unix time")
	}
	if err := p.judgeTime(req, expires); err != nil {
		return provider.Token{}, err
	}
	if data.Get("verified") != "true" || doc.get("verified").text != "true" {
		return provider.Token{}, invalid("Sentinel did not verify the visitor")
	}
	j := judgement{detail: classification(data.Get("classification"))}
	if score, err := strconv.ParseFloat(data.Get("score"), 64); err == nil && score == score && score-score == 0 {
		j.score = &score
	}
	return token("sentinel", signature, expires, j), nil
}

// classification is what Sentinel's spam filter thinks, for the log.
func classification(s string) string {
	switch s {
	case "GOOD", "NEUTRAL", "BAD":
		return "classification " + s
	}
	return ""
}
