#!/usr/bin/env bash
# Runs a command with ARCHSEARCH_TEST_MARIADB set to an empty database on a private server.
#   bash tests/mariadb.sh python -m pytest -q tests/store
set -euo pipefail
server=$(command -v mariadbd || echo /usr/sbin/mariadbd)
place=$(mktemp -d)
owner=$(id -un)
if [ "$(id -u)" = 0 ]; then
    owner=mysql
    chown mysql "$place"
fi

mariadb-install-db --no-defaults --user="$owner" --datadir="$place/data" \
    --auth-root-authentication-method=normal --skip-test-db >"$place/log" 2>&1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# a zone in which one hour of the year comes twice
TZ=Europe/Berlin "$server" --no-defaults --user="$owner" --datadir="$place/data" --socket="$place/socket" \
    --bind-address=127.0.0.1 --port="$port" --pid-file="$place/pid" >>"$place/log" 2>&1 &
stop() {
    kill "$(cat "$place/pid")" 2>/dev/null && wait || true
    rm -rf "$place"
}
trap stop EXIT
for _ in $(seq 150); do
    if mariadb --no-defaults --socket="$place/socket" -uroot -e 'SELECT 1' >/dev/null 2>&1; then
        break
    fi
    sleep 0.2
done
mariadb --no-defaults --socket="$place/socket" -uroot <<SQL
CREATE DATABASE archsearch CHARACTER SET utf8mb4;
CREATE USER 'archsearch'@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT ALL ON \`archsearch%\`.* TO 'archsearch'@'127.0.0.1';
SQL
export ARCHSEARCH_TEST_MARIADB="mariadb://archsearch:secret@127.0.0.1:$port/archsearch"
"$@"
