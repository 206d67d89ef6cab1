package providertest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ALTCHA is an ALTCHA server that gives out challenges of the protocol v1, or
// Sentinel, whose challenges are those of v2.
type ALTCHA struct {
	Key      string
	Path     string
	Query    url.Values
	Sentinel bool
}

// Protocol is strict about what is asked.
func (a ALTCHA) Protocol(s *Server) Answerer {
	return func(c Call) (int, string) {
		if c.Method != http.MethodGet || c.Path != a.Path || c.Query.Encode() != a.Query.Encode() || len(c.Body) > 0 {
			s.Strict("%s %s %v", c.Method, c.Path, c.Query)
		}
		expires := time.Now().Add(10 * time.Minute).Unix()
		random := make([]byte, 12)
		_, _ = rand.Read(random)
		if a.Sentinel {
			return 200, fmt.Sprintf(`{"parameters":{"algorithm":"PBKDF2/SHA-256","cost":1000,"expiresAt":%d,"keyLength":32,"keyPrefix":"00",`+
				`"nonce":"%x","salt":"%x"},"signature":"%x"}`, expires, random, random, a.sign("parameters"))
		}
		salt := fmt.Sprintf("%x?expires=%d&", random, expires)
		challenge := fmt.Sprintf("%x", sha256.Sum256([]byte(salt+"17")))
		return 200, fmt.Sprintf(`{"algorithm":"SHA-256","challenge":"%s","maxnumber":100,"salt":"%s","signature":"%x"}`,
			challenge, salt, a.sign(challenge))
	}
}

func (a ALTCHA) sign(message string) []byte {
	h := hmac.New(sha256.New, []byte(a.Key))
	h.Write([]byte(message))
	return h.Sum(nil)
}

// Verified is what Sentinel's widget submits for a visitor whom it has verified.
func (a ALTCHA) Verified() string {
	data := fmt.Sprintf("classification=GOOD&expire=%d&id=%x&score=0.5&verified=true", time.Now().Add(10*time.Minute).Unix(), time.Now().UnixNano())
	sum := sha256.Sum256([]byte(data))
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"algorithm":"SHA-256","signature":"%x","verificationData":"%s","verified":true}`,
		a.sign(string(sum[:])), data))
}
