//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// client trusts every certificate: it speaks to this machine only.
var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: anyCertificate}}

// tokens asks a server for puzzles and solves them, n of them.
func tokens(ctx context.Context, addr string, n int) ([]string, error) {
	solved := make([]string, n)
	workers := 2 * runtime.NumCPU()
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				solved[i], errs[w] = token(ctx, "http://"+addr)
			}
		})
	}
	wg.Wait()
	return solved, errors.Join(errs...)
}

// token gets one puzzle and solves it.
func token(ctx context.Context, base string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/form", nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Captcha-Request", "challenge")
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var doc struct {
		Challenge struct {
			Algorithm, Challenge, Salt, Signature string
			MaxNumber                             int64
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(body, &doc) != nil {
		return "", fmt.Errorf("no puzzle: %s %v %s", resp.Status, err, body) //nolint:errorlint // err may be nil
	}
	c := doc.Challenge
	want, err := hex.DecodeString(c.Challenge)
	if err != nil {
		return "", err
	}
	try := []byte(c.Salt)
	for number := range c.MaxNumber + 1 {
		sum := sha256.Sum256(strconv.AppendInt(try[:len(c.Salt)], number, 10))
		if bytes.Equal(sum[:], want) {
			return base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
				`{"algorithm":%q,"challenge":%q,"number":%d,"salt":%q,"signature":%q,"took":12}`,
				c.Algorithm, c.Challenge, number, c.Salt, c.Signature)), nil
		}
	}
	return "", fmt.Errorf("a puzzle without a solution: %s", body)
}

// clearance spends a token, and returns the cookie that this is rewarded with.
func clearance(ctx context.Context, base string) (string, error) {
	t, err := token(ctx, base)
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/form", strings.NewReader("altcha="+url.QueryEscape(t)))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		return c.Name + "=" + c.Value, nil
	}
	return "", fmt.Errorf("no clearance: %s", resp.Status)
}
