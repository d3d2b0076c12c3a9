# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# TAP for shell tests: source it, call ok/not_ok/skip/check, end with tap_done.
tap_n=0
tap_bad=0

ok() {
        tap_n=$((tap_n + 1))
        echo "ok $tap_n - $1"
}

# not_ok NAME [TEXT]
not_ok() {
        tap_n=$((tap_n + 1))
        tap_bad=$((tap_bad + 1))
        echo "not ok $tap_n - $1"
        [ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/# /'
}

# skip NAME REASON
skip() {
        tap_n=$((tap_n + 1))
        echo "ok $tap_n - $1 # SKIP $2"
}

# skip_all REASON: instead of any test
skip_all() {
        echo "1..0 # SKIP $1"
        exit 0
}

# check NAME TEXT: passes when TEXT (the violations found) is empty
check() {
        if [ -z "$2" ]; then ok "$1"; else not_ok "$1" "$2"; fi
}

tap_done() {
        echo "1..$tap_n"
        [ "$tap_bad" = 0 ] || exit 1
        exit 0
}
