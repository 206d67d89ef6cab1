package captcha

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "captcha",
		Usage: "status | drill | check",
		Short: "Shows and rehearses the health of CAPTCHA providers",
		Long: `
caddy captcha status     what the running Caddy knows of every provider
caddy captcha drill      makes a provider count as down, or ends that
caddy captcha check      reaches every provider of a config with its keys`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(statusCommand(), drillCommand(), checkCommand())
			cmd.Args = cobra.NoArgs // a command that is none is an error, not only help: scripts look at the exit code
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		},
	})
}

// withAdmin adds the flags that say where the running Caddy is.
func withAdmin(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringP("address", "", "", "The address of the admin API")
	cmd.Flags().StringP("config", "c", "", "Configuration file to take the admin address from")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter to apply")
	return cmd
}

// adminAddress is where the flags say that the admin API is.
func adminAddress(fl caddycmd.Flags) (string, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(fl.String("address"), nil, fl.String("config"), fl.String("adapter"))
	if err != nil {
		return "", fmt.Errorf("finding the admin address: %w", err)
	}
	return address, nil
}

// admin asks the admin API of the running Caddy. The connection is not kept: each
// call has a transport of its own.
func admin(address, method, uri string, body io.Reader) ([]byte, error) {
	header := http.Header{"Content-Type": {"application/json"}, "Connection": {"close"}}
	resp, err := caddycmd.AdminAPIRequest(address, method, uri, header, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 16<<20))
}

func drillCommand() *cobra.Command {
	cmd := withAdmin(&cobra.Command{
		Use:   "drill <provider> [--for 10m | --stop]",
		Short: "Makes a provider count as down, or ends that",
		Args:  cobra.ExactArgs(1),
		RunE:  caddycmd.WrapCommandFuncForCobra(runDrill),
	})
	cmd.Flags().String("for", "10m", "How long, at most 24h")
	cmd.Flags().Bool("stop", false, "End the drill")
	return cmd
}

func runDrill(fl caddycmd.Flags) (int, error) {
	address, err := adminAddress(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if fl.Bool("stop") {
		err = stopDrill(os.Stdout, address, fl.Arg(0))
	} else {
		err = startDrill(os.Stdout, address, fl.Arg(0), fl.String("for"))
	}
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

// drillPath is where drills of a provider, a name or an id, begin and end.
func drillPath(name string) string { return "/captcha/drill/" + url.PathEscape(name) }

func startDrill(w io.Writer, address, name, lasts string) error {
	body, err := json.Marshal(map[string]string{"for": lasts})
	if err != nil {
		return err
	}
	if _, err := admin(address, http.MethodPost, drillPath(name), bytes.NewReader(body)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s counts as down for %s. To end that before: caddy captcha drill %s --stop\n", name, lasts, name)
	return err
}

func stopDrill(w io.Writer, address, name string) error {
	if _, err := admin(address, http.MethodDelete, drillPath(name), nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "No drill of %s is under way any more.\n", name)
	return err
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check --config <file> [--adapter <name>] [--envfile <file>]",
		Short: "Reaches every provider of a config with its keys, before production does",
		RunE:  caddycmd.WrapCommandFuncForCobra(runCheck),
	}
	cmd.Flags().StringP("config", "c", "", "Configuration file")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter to apply")
	cmd.Flags().String("envfile", "", "Environment file to load")
	return cmd
}

func runCheck(fl caddycmd.Flags) (int, error) {
	if name := fl.String("envfile"); name != "" {
		if err := loadEnv(name); err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
	}
	text, _, _, err := caddycmd.LoadConfig(fl.String("config"), fl.String("adapter"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if len(text) == 0 {
		return caddy.ExitCodeFailedStartup, errors.New("there is no Caddyfile in this folder: write --config and the file to check")
	}
	if err := checkConfig(os.Stdout, text); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

// checkConfig probes every provider of a config that is not run. What it
// provisions ends with the process.
func checkConfig(w io.Writer, config []byte) error {
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		return err
	}
	ctx, err := caddy.ProvisionContext(&cfg)
	if err != nil {
		return err
	}
	app, err := ctx.AppIfConfigured("captcha")
	if err != nil {
		return fmt.Errorf("this config has no captcha: %w", err)
	}
	return checkLinks(w, app.(*App).links)
}

// errNotWell gives the command a status that a deployment script stops at: Caddy
// turns a failure without an error into success.
var errNotWell = errors.New("not every provider answers and accepts its keys; see the table")

// checkLinks asks every provider once, however many directives have it, and prints
// a table. Which of several accounts a line is about, its public key tells.
func checkLinks(w io.Writer, links []*link) error {
	if len(links) == 0 {
		_, err := fmt.Fprintln(w, "No provider is called over the network: there is nothing to reach.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "PROVIDER\tPUBLIC KEY\tTOOK\tRESULT")
	var err error
	asked := make(map[string]bool)
	for _, l := range links {
		if asked[l.identity] {
			continue
		}
		asked[l.identity] = true
		result, took := checkLink(l)
		if result != "ok" {
			err = errNotWell
		}
		key := "–"
		if l.widget != nil && l.widget.SiteKey != "" {
			key = l.widget.SiteKey
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.name, key, took.Round(time.Millisecond), result) // a result can be long
	}
	return errors.Join(t.Flush(), err)
}

// checkLink asks one provider.
func checkLink(l *link) (result string, took time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	start := time.Now()
	h := &health{name: l.name}
	if err := h.ask(ctx, l.provider.(provider.Prober), zap.NewNop()); err != nil {
		return err.Error(), time.Since(start)
	}
	return "ok", time.Since(start)
}

// loadEnv sets the variables of an environment file: lines of NAME=value, with
// optional quotes; # begins a comment line.
func loadEnv(name string) error {
	f, err := os.Open(name) //nolint:gosec // the operator's own file
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export "))
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%s:%d: write NAME=value", name, n)
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		if err := os.Setenv(strings.TrimSpace(key), value); err != nil {
			return err
		}
	}
	return lines.Err()
}
