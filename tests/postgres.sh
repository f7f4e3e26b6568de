#!/usr/bin/env bash
# Runs a command with ARCHSEARCH_TEST_POSTGRES pointing at a private server that is gone afterwards.
set -euo pipefail
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
data=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
[ "$(id -u)" = 0 ] && chown postgres "$data"
stop() { as_owner "$bin/pg_ctl" -D "$data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$data"; }
trap stop EXIT
as_owner "$bin/initdb" -D "$data" -A trust -U archsearch >/dev/null
as_owner "$bin/pg_ctl" -D "$data" -w -l "$data/log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$data" start >/dev/null
ARCHSEARCH_TEST_POSTGRES="postgresql+psycopg://archsearch@127.0.0.1:$port/postgres" "$@"
