#!/usr/bin/env bash
# All tests: ./test.sh
# Some of them: ./test.sh STEP…, where STEP is one of
#
#	format   gofmt
#	vet      go vet, in every module
#	lint     golangci-lint, in every module: see .golangci.yml
#	go       Go tests with the race detector; the seeds of the fuzz tests are among them
#	fuzz     fuzz tests, for 20 seconds each (FUZZTIME=10m for longer)
#	web      the scripts of the challenge page and of the examples, in Node
#	rules    alert rules and dashboard, with promtool
#	fleet    three Caddy processes with Redis, and what can go wrong
#	soak     one Caddy process in honest and hostile load, with reloads and faults, for 20 seconds
#	licences the licences of what is linked into cmd/caddy: docs/dependencies.md
#	xcaddy   build Caddy with xcaddy, and try the result
#	build    build cmd/caddy in two places: the same bytes
#	e2e      the whole in Chromium
#
# Needs Go. The rest (a C compiler for the race detector, curl, Redis, promtool, Node, Chromium) is
# installed where apt and the right to use it are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$PWD

export GOFLAGS="${GOFLAGS:-} -buildvcs=false" # a copy without its .git is as good
export PUPPETEER_SKIP_DOWNLOAD=1 PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1

steps=(format vet lint go fuzz web rules fleet soak licences xcaddy build e2e)
[[ $# -eq 0 ]] || steps=("$@")

wants() { [[ " ${steps[*]} " == *" $1 "* ]]; }

# need COMMAND PACKAGE… notes what has to be installed.
missing=() packages=()
need() {
	command -v "$1" >/dev/null && return
	missing+=("$1")
	packages+=("${@:2}")
}

prepare() {
	if ! command -v go >/dev/null; then
		PATH=$PATH:/usr/local/go/bin
		command -v go >/dev/null || { echo "Go is missing: see https://go.dev/doc/install" >&2; exit 1; }
	fi
	if wants go || wants fuzz || wants fleet || wants soak; then need gcc gcc libc6-dev; fi
	if wants go || wants fleet; then need redis-server redis-server; fi
	if wants go; then need curl curl; fi
	if wants web || wants e2e; then need node nodejs; fi
	if wants e2e; then
		need npm npm
		# the names that e2e/lib/browser.mjs knows
		[[ -n ${CHROMIUM:-} ]] || command -v chromium-browser google-chrome >/dev/null || need chromium chromium fonts-liberation
	fi
	# its package is only unpacked, see step_rules: what may be missing is apt's lists
	if wants rules && ! command -v promtool >/dev/null && ! apt-cache show prometheus >/dev/null 2>&1; then missing+=(promtool); fi
	[[ ${#missing[@]} -gt 0 ]] || return 0

	local as=()
	if [[ $(id -u) -ne 0 ]]; then
		command -v sudo >/dev/null && sudo -n true 2>/dev/null && as=(sudo) || as=(none)
	fi
	if ! command -v apt-get >/dev/null || [[ ${as[*]:-} == none ]]; then
		echo "These commands are missing: ${missing[*]}" >&2
		echo "On Debian, as root: apt-get update && apt-get install -y ${packages[*]}" >&2
		exit 1
	fi
	echo "== installing ${packages[*]}"
	"${as[@]}" apt-get update -qq
	[[ ${#packages[@]} -gt 0 ]] || return 0
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

step_format() {
	local differ
	differ=$(find . -name '*.go' -not -path '*/node_modules/*' -exec gofmt -l {} +)
	[[ -z $differ ]] || { echo "gofmt differs:" "$differ" >&2; return 1; }
}

step_vet() {
	local mod
	go vet ./...
	for mod in */go.mod; do
		go -C "$(dirname "$mod")" vet ./...
	done
	go vet -tags xcaddy,promtool,fleet .
}

# The first run builds golangci-lint, for minutes; then it is in Go's cache, and what
# it has found about packages that have not changed in its own.
step_lint() {
	local mod status=0
	for mod in . bench examples/custom-provider tools; do
		(cd "$mod" && timeout 900 go tool -modfile="$root/tools/lint/go.mod" golangci-lint run --show-stats=false ./...) || status=1
	done
	return "$status"
}

# Every package that has tests must have run them, every attack that is listed
# must have been tried, and no test may be skipped.
step_go() {
	local log="$tmp/go-test.log" status=0 pkg id bad=0
	timeout 1200 go test -race -count=1 -timeout 12m -v ./... >"$log" 2>&1 || status=$?
	if [[ $status -ne 0 ]]; then
		grep -vE '^=== |^ *--- PASS|^PASS$' "$log" | tail -n 300 >&2
		return "$status"
	fi
	grep -E '^ok' "$log"
	go -C examples/custom-provider vet ./...
	go -C examples/custom-provider test -race -count=1 ./...
	go -C bench vet ./...
	go -C bench test -count=1 ./...
	for pkg in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do
		grep -E "^ok[[:space:]]+$pkg[[:space:]]" "$log" | grep -qv 'no tests to run' ||
			{ echo "no test of $pkg has run" >&2; bad=1; }
	done
	# docs/attacks.md says what was tried in vain: each of it, in this run too
	for id in $(sed -nE '/^D-[0-9]+ \| out /!s/^D-([0-9]+) .*/\1/p' testdata/attacks.txt); do
		grep -qE "^ *--- PASS: .*D-?$id([^0-9]|$)" "$log" || { echo "no test of the attack D-$id has passed" >&2; bad=1; }
	done
	if grep -E '^ *--- SKIP' "$log" >&2; then
		echo "tests were skipped" >&2
		bad=1
	fi
	echo "$(grep -cE '^ *--- PASS' "$log") tests passed"
	return "$bad"
}

# What is found is written to testdata beside the test, and fails from then on in the
# step go. `go test -fuzz` instruments every package that a test needs, for which it
# builds all of Caddy anew, once for each fuzz test. Built like this, once for each
# package, only our own code guides the search.
step_fuzz() {
	local module dirs bin dir
	module=$(go list -m)
	mapfile -t dirs < <(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | xargs -n 1 dirname | sort -u)
	[[ ${#dirs[@]} -gt 0 ]] || { echo "no fuzz test was found" >&2; return 1; }
	mkdir "$tmp/fuzz"
	go test -c -gcflags="$module/...=-d=libfuzzer" -o "$tmp/fuzz/" "${dirs[@]}"
	for dir in "${dirs[@]}"; do
		bin=$tmp/fuzz/$(basename "$(go list "$dir")").test
		"$bin" -test.list '^Fuzz' | sed "s#.*#$bin $dir &#"
	done >"$tmp/fuzz.list"
	echo "$(wc -l <"$tmp/fuzz.list") fuzz tests, built after $((SECONDS - begin)) s"
	FUZZCACHE=$(go env GOCACHE)/fuzz/$module # as go test has it
	export FUZZCACHE
	export -f fuzz_one
	# two more than there are cores, because each is now and then busy with its files
	xargs -P "$(($(nproc) + 2))" -n 3 bash -c 'fuzz_one "$@"' fuzz_one <"$tmp/fuzz.list"
}

# fuzz_one BINARY DIRECTORY TARGET fuzzes one, with one worker. Without a bound, making
# one new input small takes up to a minute.
fuzz_one() {
	local log name=$3
	[[ $2 == . ]] || name+=" of ${2#./}"
	log=$(mktemp)
	if ! (cd "$2" && timeout 1h "$1" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "${FUZZTIME:-20s}" -test.fuzzminimizetime 20x \
		-test.parallel 1 -test.fuzzcachedir "$FUZZCACHE/$2") >"$log" 2>&1; then
		# Go says only this where the time ends in the middle of a call
		# (https://go.dev/issue/75804); what was found is said, and written down.
		if ! grep -qx '    context deadline exceeded' "$log" || grep -qE 'Failing input|panic|_test.go:' "$log"; then
			echo "$name:" >&2
			tail -n 100 "$log" >&2
			return 1
		fi
	fi
	if grep 'not built with coverage' "$log" >&2; then
		return 1 # and so blind
	fi
	echo "$name: $(grep -oE 'execs: [0-9]+' "$log" | tail -n 1), $(grep -oE 'new interesting: [0-9]+ \(total: [0-9]+\)' "$log" | tail -n 1)"
	rm -f "$log"
}

step_web() { timeout 120 node --test web/*.test.mjs examples/*/*.test.mjs; }

# promtool is in Debian's package of Prometheus, which is unpacked, not installed:
# nothing here needs its service.
step_rules() {
	if ! command -v promtool >/dev/null; then
		command -v apt-get >/dev/null || { echo "promtool is missing: install Prometheus" >&2; return 1; }
		(cd "$tmp" && apt-get download -qq prometheus) || { echo "on Debian, as root, before this: apt-get update" >&2; return 1; }
		dpkg-deb -x "$tmp"/prometheus_*.deb "$tmp/prometheus"
		PATH=$tmp/prometheus/usr/bin:$PATH
	fi
	timeout 300 go test -tags promtool -count=1 -timeout 4m -run '^TestPromtool$' -v . | tee "$tmp/rules.log"
	grep -q '^--- PASS: TestPromtool' "$tmp/rules.log"
}

step_xcaddy() {
	go mod download
	go -C tools mod download
	timeout 900 go test -tags xcaddy -count=1 -timeout 14m -run '^TestXcaddy$' -v . | tee "$tmp/xcaddy.log"
	grep -q '^--- PASS: TestXcaddy' "$tmp/xcaddy.log"
}

step_licences() {
	go -C tools test ./licences
	go -C tools run ./licences
}

# Another folder, time zone and umask, and a line more in every file of ours: what Go
# has in its cache must not answer for the compiler. The rest is there from xcaddy.
# Only main.go stays as it is: a hash of its text is in the binary.
step_build() {
	local at=$tmp/elsewhere
	mkdir "$at"
	tar -c --exclude=./.git --exclude=node_modules . | tar -x -C "$at"
	find "$at" -name '*.go' -not -name main.go -exec sh -c 'for f; do echo >>"$f"; done' sh {} +
	CGO_ENABLED=0 go build -trimpath -o "$tmp/caddy" ./cmd/caddy
	(cd "$at" && umask 077 && TZ=Pacific/Chatham CGO_ENABLED=0 go build -trimpath -o "$tmp/again" ./cmd/caddy)
	sha256sum "$tmp/caddy" "$tmp/again"
	cmp "$tmp/caddy" "$tmp/again"
}

step_fleet() {
	timeout 900 go test -tags fleet -race -count=1 -timeout 14m -run '^TestFleetOfProcesses$' -v . >"$tmp/fleet.log" ||
		{ grep -v '^{' "$tmp/fleet.log" >&2; return 1; }
	grep -E 'all in|all nodes' "$tmp/fleet.log"
	grep -q '^--- PASS: TestFleetOfProcesses' "$tmp/fleet.log"
}

step_soak() {
	go -C bench test -count=1 ./...
	timeout 600 go -C bench run ./soak -time 20s -reload 3s -race >"$tmp/soak.log"
	sed -n '/^| promises/,/^| drills/p' "$tmp/soak.log"
}

step_e2e() {
	(cd e2e && timeout 300 npm ci --no-audit --no-fund && timeout 900 npm test)
}

for step in "${steps[@]}"; do
	declare -F "step_$step" >/dev/null || { echo "there is no step $step; see the top of $0" >&2; exit 1; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
prepare
for step in "${steps[@]}"; do
	echo "== $step"
	begin=$SECONDS
	set +e # or set -e would count for nothing within the step
	( set -e; "step_$step" ) </dev/null
	status=$?
	set -e
	[[ $status -eq 0 ]] || { echo "== $step FAILED after $((SECONDS - begin)) s" >&2; exit 1; }
	echo "== $step ok, $((SECONDS - begin)) s"
done
echo "== all passed: ${steps[*]}"
