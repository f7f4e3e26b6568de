#!/usr/bin/env bash
# Runs a command with ARCHSEARCH_TEST_PROMETHEUS set to the program of a Prometheus server.
#   bash tests/prometheus.sh python -m pytest -q tests/dashboards
set -euo pipefail
if ! command -v prometheus >/dev/null; then
    # RUNLEVEL keeps the package from starting a server of its own
    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends prometheus >/dev/null
fi
ARCHSEARCH_TEST_PROMETHEUS=$(command -v prometheus) "$@"
