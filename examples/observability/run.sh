#!/usr/bin/env bash
# Starts a Caddy with this folder's Caddyfile, Prometheus with its rules, and Grafana
# with its dashboard if Grafana is installed. Ctrl-C ends all of them.
#
#	./run.sh
#
# Prometheus is taken from the PATH; where there is none, Debian's package is
# fetched and unpacked below DATA, not installed, so that no service is started.
# Debian has no package of Grafana: install it from https://grafana.com/grafana/download,
# or import grafana/dashboards/captcha.json into one that you have.
#
# Environment: CADDY (default: caddy), DATA (default: a directory that goes at the
# end), PROMETHEUS_LISTEN (127.0.0.1:9090), GRAFANA_PORT (3000), and what the
# Caddyfile names.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

data=${DATA:-$(mktemp -d)}
mkdir -p "$data"
pids=()
stop() {
	trap - EXIT
	[[ ${#pids[@]} -eq 0 ]] || kill "${pids[@]}" 2>/dev/null || true
	wait
	[[ -n ${DATA:-} ]] || rm -rf "$data"
}
trap stop EXIT
trap 'exit 0' INT TERM

prometheus=$(command -v prometheus || true)
if [[ -z $prometheus ]]; then
	prometheus=$data/prometheus/usr/bin/prometheus
	if [[ ! -x $prometheus ]]; then
		command -v apt-get >/dev/null || { echo "prometheus is missing: install it" >&2; exit 1; }
		echo "fetching Debian's prometheus"
		(cd "$data" && apt-get download -qq prometheus) || { echo "run apt-get update as root first" >&2; exit 1; }
		dpkg-deb -x "$data"/prometheus_*.deb "$data/prometheus"
	fi
fi

# keys that Turnstile refuses, so that there is something to see; set your own
export TURNSTILE_SITE_KEY=${TURNSTILE_SITE_KEY:-0x4AAAAAAAdemo} TURNSTILE_SECRET_KEY=${TURNSTILE_SECRET_KEY:-0x4AAAAAAAdemo-secret}
export SITE=${SITE:-http://localhost:8080} LOGS=${LOGS:-$data} GRAFANA_PORT=${GRAFANA_PORT:-3000}
listen=${PROMETHEUS_LISTEN:-127.0.0.1:9090}
export PROMETHEUS_URL=http://$listen DASHBOARDS=$here/grafana/dashboards

"${CADDY:-caddy}" run --config "$here/Caddyfile" &
pids+=($!)
"$prometheus" --config.file="$here/prometheus.yml" --storage.tsdb.path="$data/tsdb" --web.listen-address="$listen" --log.level=warn &
pids+=($!)
echo "Prometheus: http://$listen/alerts"

grafana=$(command -v grafana || true)
if [[ -n $grafana ]]; then
	GF_PATHS_PROVISIONING=$here/grafana/provisioning GF_PATHS_DATA=$data/grafana GF_PATHS_LOGS=$data/grafana \
		GF_SERVER_HTTP_ADDR=127.0.0.1 GF_SERVER_HTTP_PORT=$GRAFANA_PORT GF_ANALYTICS_REPORTING_ENABLED=false \
		"$grafana" server --homepath "${GRAFANA_HOME:-/usr/share/grafana}" &
	pids+=($!)
	echo "Grafana: http://127.0.0.1:$GRAFANA_PORT/d/caddy-captcha"
else
	echo "no Grafana here; see the top of $0"
fi
wait -n || true
echo "one of them has ended" >&2
exit 1
