// Package powtest solves challenges of the pow provider in tests, as a
// visitor's browser does.
package powtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// Solve tries every number of a challenge document and returns the value of
// the form field altcha. It panics where the document has no solution.
func Solve(challengeJSON []byte) (payload string) {
	var c struct {
		Algorithm, Challenge, Salt, Signature string
		MaxNumber                             int `json:"maxnumber"`
	}
	if err := json.Unmarshal(challengeJSON, &c); err != nil {
		panic(fmt.Sprintf("powtest: %v in %q", err, challengeJSON))
	}
	buf := []byte(c.Salt)
	for n := 0; n <= c.MaxNumber; n++ {
		sum := sha256.Sum256(strconv.AppendInt(buf[:len(c.Salt)], int64(n), 10))
		if hex.EncodeToString(sum[:]) == c.Challenge {
			return base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
				`{"algorithm":%q,"challenge":%q,"number":%d,"salt":%q,"signature":%q,"took":12.5}`,
				c.Algorithm, c.Challenge, n, c.Salt, c.Signature))
		}
	}
	panic(fmt.Sprintf("powtest: no solution of %q", challengeJSON))
}
