package geetest

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // GeeTest's protocol
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// digest is the algorithm that version 3 was told to use, as its parameter
// digestmod names it. Source: GeeTeam/gt3-server-golang-gin-bypass,
// controllers/sdk/geetest_lib.go.
type digest string

const (
	digestMD5        digest = "md5"
	digestSHA256     digest = "sha256"
	digestHMACSHA256 digest = "hmac-sha256"
)

func checkDigest(s string) error {
	switch digest(s) {
	case digestMD5, digestSHA256, digestHMACSHA256:
		return nil
	}
	return fmt.Errorf("digest %q is not known: write md5, sha256 or hmac-sha256", s)
}

// challenge turns what register answered into what the page gets.
func (d digest) challenge(origin, key string) string {
	switch d {
	case digestSHA256:
		return sha256Hex(origin + key)
	case digestHMACSHA256:
		return hmacHex(origin, key)
	}
	return md5Hex(origin + key)
}

// confirms reports whether answer is validate's confirmation of a seccode: its
// md5, as all of GeeTest's SDKs expect, or the configured digest of it.
func (d digest) confirms(answer, seccode, key string) bool {
	is := func(want string) bool { return hmac.Equal([]byte(answer), []byte(want)) }
	switch d {
	case digestSHA256:
		return is(sha256Hex(seccode)) || is(md5Hex(seccode))
	case digestHMACSHA256:
		return is(hmacHex(seccode, key)) || is(md5Hex(seccode))
	}
	return is(md5Hex(seccode))
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // GeeTest's protocol
	return hex.EncodeToString(sum[:])
}

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func hmacHex(message, key string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(message))
	return hex.EncodeToString(h.Sum(nil))
}
