#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The kit itself: a leaked descriptor, leaked memory and a failed assertion each fail the program.
set -u
unset CRITERION_OUTPUTS
leak="${builddir:?}/tests/base/leak"
n=0

ok() {
        n=$((n + 1))
        if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

# expect pass|fail TEST [TEXT]
expect() {
        out=$("$leak" --filter "leak/$2" 2>&1)
        case "$1:$?" in
        pass:0) rc=0 ;;
        pass:* | fail:0) rc=1 ;;
        *) rc=0 ;;
        esac
        case "$out" in *"${3:-}"*) ;; *) rc=1 ;; esac
        [ $rc = 0 ] || printf '%s\n' "$out" | sed 's/^/# /'
        ok $rc "$2: $1"
}

echo 1..4
expect pass nothing
expect fail descriptor "kit: leaked descriptor"
expect fail assertion "not -2"
if nm "$leak" 2>/dev/null | grep -q __lsan_do_recoverable_leak_check; then
        expect fail memory LeakSanitizer
else
        n=$((n + 1))
        echo "ok $n - memory: fail # SKIP built without AddressSanitizer"
fi
