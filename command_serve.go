package captcha

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/netutil"

	"github.com/caddy-captcha/caddy-captcha/internal/statuspage"
)

const (
	adminTimeout  = 5 * time.Second
	maxAdminCalls = 4  // at a time
	maxPageConns  = 32 // of browsers
)

// runServe serves the status page until ctx ends.
func runServe(ctx context.Context, out io.Writer, at string, allowRemote bool, address string) (int, error) {
	if err := checkListen(at, allowRemote); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	page := statuspage.New(newAdminClient(func(method, uri string, body io.Reader) ([]byte, error) {
		return admin(address, method, uri, body)
	}))
	server := &http.Server{
		Handler: page, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 2 * adminTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if _, err := fmt.Fprintf(out, "http://%s%s\n", listener.Addr(), page.Path()); err != nil {
		return caddy.ExitCodeFailedStartup, errors.Join(err, listener.Close())
	}
	err = server.Serve(netutil.LimitListener(listener, maxPageConns))
	if errors.Is(err, http.ErrServerClosed) {
		return caddy.ExitCodeSuccess, nil
	}
	return caddy.ExitCodeFailedStartup, err
}

// checkListen refuses an address that other machines reach, unless that is asked
// for: the page has buttons, and is served without TLS.
func checkListen(at string, allowRemote bool) error {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return fmt.Errorf("--serve %s: write an address of this machine, such as --serve 127.0.0.1:0", at)
	}
	ip := net.ParseIP(host)
	if allowRemote || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("--serve %s: other machines may reach that, without TLS; write --serve 127.0.0.1:%s and come through ssh -L, "+
		"or add --allow-remote if the network is yours alone", at, port)
}

// adminClient is what the page may do with Caddy's admin API. Each call has a
// time limit, also where Caddy hangs, and there are only so many at a time.
type adminClient struct {
	call func(method, uri string, body io.Reader) ([]byte, error)
	room chan struct{}
}

func newAdminClient(call func(method, uri string, body io.Reader) ([]byte, error)) *adminClient {
	return &adminClient{call: call, room: make(chan struct{}, maxAdminCalls)}
}

func (c *adminClient) Status(ctx context.Context) ([]byte, error) {
	return c.ask(ctx, http.MethodGet, "/captcha/status", nil)
}

func (c *adminClient) Drill(ctx context.Context, provider, lasts string) error {
	body, err := json.Marshal(map[string]string{"for": lasts})
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, http.MethodPost, "/captcha/drill/"+url.PathEscape(provider), body)
	return err
}

func (c *adminClient) EndDrill(ctx context.Context, provider string) error {
	_, err := c.ask(ctx, http.MethodDelete, "/captcha/drill/"+url.PathEscape(provider), nil)
	return err
}

var errAdminSilent = errors.New("no answer from Caddy's admin API in time")

func (c *adminClient) ask(ctx context.Context, method, uri string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	select {
	case c.room <- struct{}{}:
	case <-ctx.Done():
		return nil, errAdminSilent
	}
	type result struct {
		body []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // Caddy's client takes no context
		defer func() { <-c.room }()
		var in io.Reader
		if body != nil {
			in = bytes.NewReader(body)
		}
		answer, err := c.call(method, uri, in)
		done <- result{answer, err}
	}()
	select {
	case r := <-done:
		return r.body, r.err
	case <-ctx.Done():
		return nil, errAdminSilent
	}
}

var _ statuspage.Admin = (*adminClient)(nil)
