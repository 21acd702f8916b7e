#!/bin/bash
# Two programs on one port under Wine's HTTP.sys. Needs what `cargo xtask windows` sets up, and the environment that it says.
set -euo pipefail
: "${WINELOADER:?run this with the environment that cargo xtask windows sets up}"
cd "$(dirname "$0")/../.."
cargo build --quiet --package neighbours --target x86_64-pc-windows-gnu
said=$(mktemp)
programs=()
trap 'kill "${programs[@]}" 2>/dev/null; wait; rm "$said"' EXIT
for program in lobby shop; do
    NO_COLOR=1 RUST_LOG=narthex=info timeout 60 "$WINELOADER" "target/x86_64-pc-windows-gnu/debug/$program.exe" >>"$said" 2>&1 &
    programs+=($!)
done
for _ in {1..100}; do
    [ "$(grep -c 'through HTTP.sys' "$said")" = 2 ] && break
    sleep 0.1
done
cat "$said"
for path in / /shop/basket /elsewhere /shop/basket; do
    echo "\$ curl http://localhost:8888$path"
    curl --silent --show-error --max-time 10 "http://localhost:8888$path"
done
