#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The library and a program of threads under ThreadSanitizer: what our locks protect has no race, and neither has the
# library itself. Compiles both into a temporary folder.
set -eu
srcdir=${srcdir:-.}
builddir=${builddir:-build}
. "$srcdir/tests/tools/tap.sh"
builddir=$(cd "$builddir" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# works COMPILER: it has the runtime, and a program of it runs on this kernel
works() {
        command -v "$1" >/dev/null || return 1
        echo 'int main(void) { return 0; }' >"$work/empty.c"
        "$1" -fsanitize=thread -pthread "$work/empty.c" -o "$work/empty" 2>/dev/null && "$work/empty" 2>/dev/null
}

find_compiler() {
        for one in "${TSAN_CC:-clang}" "${CC:-cc}" gcc; do
                if works "$one"; then
                        echo "$one"
                        return
                fi
        done
}

build() {
        "$cc" -std=gnu11 -D_GNU_SOURCE -O1 -g -pthread -fsanitize=thread \
                -include "$builddir/config.h" -I"$srcdir/src" -I"$srcdir/include" \
                "$srcdir"/src/base/*.c "$srcdir"/src/shm/*.c "$srcdir"/src/local/*.c \
                "$srcdir/tests/local/test-threads.c" -o "$work/threads" 2>&1
}

# run [broken]: in an arena of its own. The mutexes of a dead thread are made anew by another: that is no mistake.
run() {
        rm -f "$work/arena"
        TSAN_OPTIONS="exitcode=66 history_size=4 report_mutex_bugs=0" \
                "$work/threads" "$work/arena" "$@" >"$work/out" 2>&1
}

# Without the mutexes, of which each thread has some dozens
reports() {
        grep -E 'WARNING|SUMMARY| of size |^    #[0-7] |^[^ =]' "$work/out" | grep -v 'created at' | head -n 100
}

cc=$(find_compiler)
[ -n "$cc" ] || skip_all "no compiler with the runtime of ThreadSanitizer that runs here"
build >"$work/log" || { not_ok "build with $cc" "$(cat "$work/log")"; tap_done; }
ok "build with $cc"

if run; then ok "no race"; else not_ok "no race" "$(reports)"; fi
if run broken || ! grep -q 'WARNING: ThreadSanitizer: data race' "$work/out"; then
        not_ok "a race is seen without the lock" "$(reports)"
else
        ok "a race is seen without the lock"
fi
tap_done
