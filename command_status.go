package captcha

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// exitTrouble is the exit code of `caddy captcha status` where something needs
// somebody. 1 says that nothing could be learned.
const exitTrouble = 2

// watchEvery is how often --watch asks.
const watchEvery = 2 * time.Second

func statusCommand() *cobra.Command {
	cmd := withAdmin(&cobra.Command{
		Use:   "status [--watch | --json | --serve <addr>]",
		Short: "Shows what is known of every provider",
		Long: `
Shows what the running Caddy knows of every provider, those in trouble first.

The exit code is 0 where all is well, 2 where a provider is down or refuses our
keys, or the store does not answer, and 1 where Caddy could not be asked. A drill
is no trouble.

--serve 127.0.0.1:0 shows the same as a page in the browser, with buttons for
drills, until it is interrupted. It prints the page's address, which is a secret.`,
		Args:          cobra.NoArgs,
		RunE:          caddycmd.WrapCommandFuncForCobra(runStatus),
		SilenceErrors: true, // Caddy's log has them; an exit code is none
		SilenceUsage:  true,
	})
	cmd.Flags().BoolP("watch", "w", false, "Keep the table current")
	cmd.Flags().Bool("json", false, "Print the admin API's document")
	cmd.Flags().String("serve", "", "Serve a status page at this address of this machine, such as 127.0.0.1:0")
	cmd.Flags().Bool("allow-remote", false, "Let --serve listen where other machines reach it")
	cmd.MarkFlagsMutuallyExclusive("watch", "json", "serve")
	return cmd
}

func runStatus(fl caddycmd.Flags) (int, error) {
	address, err := adminAddress(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if at := fl.String("serve"); at != "" {
		return runServe(ctx, os.Stdout, at, fl.Bool("allow-remote"), address)
	}
	v := viewer{
		out: os.Stdout, terminal: term.IsTerminal(int(os.Stdout.Fd())), now: time.Now,
		fetch: func() ([]byte, error) { return admin(address, http.MethodGet, "/captcha/status", nil) },
	}
	v.colours = v.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	switch {
	case fl.Bool("json"):
		return v.printJSON()
	case fl.Bool("watch"):
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		return v.watch(ctx, tick.C)
	}
	return v.print()
}

// viewer shows the status of a running Caddy.
type viewer struct {
	out      io.Writer
	terminal bool // where a screen can be drawn anew
	colours  bool
	now      func() time.Time
	fetch    func() ([]byte, error)
}

// printJSON prints the admin API's document as it came.
func (v viewer) printJSON() (int, error) {
	body, doc, err := v.ask()
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if _, err := fmt.Fprintln(v.out, string(bytes.TrimSpace(body))); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return doc.exitCode(), nil
}

// print prints the table once.
func (v viewer) print() (int, error) {
	_, doc, err := v.ask()
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if _, err := v.out.Write(v.table(doc)); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return doc.exitCode(), nil
}

func (v viewer) ask() ([]byte, statusDoc, error) {
	var doc statusDoc
	body, err := v.fetch()
	if err != nil {
		return nil, doc, err
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, doc, fmt.Errorf("the admin API's answer: %w", err)
	}
	return body, doc, nil
}

// watch shows the table at every tick until ctx ends. A Caddy that does not
// answer, as in a restart, is said above what was last known.
func (v viewer) watch(ctx context.Context, tick <-chan time.Time) (int, error) {
	var last statusDoc
	var lastErr error
	known, away := false, time.Time{}
	if v.terminal {
		_, _ = io.WriteString(v.out, "\x1b[?25l\x1b[2J") // no cursor, an empty screen
		defer func() { _, _ = io.WriteString(v.out, "\x1b[?25h\r\n") }()
	}
	for {
		var doc statusDoc
		if _, doc, lastErr = v.ask(); lastErr == nil {
			last, known, away = doc, true, time.Time{}
		} else if away.IsZero() {
			away = v.now()
		}
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s\n", v.now().Format(time.DateTime))
		if lastErr != nil {
			fmt.Fprintf(&b, "%s\n", v.paint(red, "Caddy's admin API has not answered since "+away.Format(time.TimeOnly)+": "+shorten(lastErr.Error(), 80)))
		}
		if known {
			b.Write(v.table(last))
		}
		if err := v.show(b.Bytes()); err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
		select {
		case <-ctx.Done():
			if lastErr != nil {
				return caddy.ExitCodeFailedStartup, lastErr
			}
			return last.exitCode(), nil
		case <-tick:
		}
	}
}

// show writes a screen in one go: over the one before, of which nothing is
// cleared that stays the same. What is no terminal gets them one after the other.
func (v viewer) show(screen []byte) error {
	if v.terminal {
		screen = bytes.ReplaceAll(screen, []byte("\n"), []byte("\x1b[K\r\n"))
		screen = slices.Concat([]byte("\x1b[H"), screen, []byte("\x1b[J"))
	} else {
		screen = append(screen, '\n')
	}
	_, err := v.out.Write(screen)
	return err
}

// exitCode says whether something needs somebody.
func (doc statusDoc) exitCode() int {
	if !doc.Store.OK || slices.ContainsFunc(doc.Providers, providerDoc.inTrouble) {
		return exitTrouble
	}
	return caddy.ExitCodeSuccess
}

// inTrouble: a drill is none, as in the metrics.
func (p providerDoc) inTrouble() bool {
	return p.Misconfigured || p.State.isDown() && (!p.Drill || p.outageLasts())
}

// outageLasts reports whether there is an outage that is no drill.
func (p providerDoc) outageLasts() bool {
	return slices.ContainsFunc(p.Outages, func(o outageDoc) bool { return !o.Drill && o.End == nil })
}
