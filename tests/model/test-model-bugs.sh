#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The model catches the mistakes that are known: each is switched on, and some scenario must fail.
set -eu
srcdir=${srcdir:-.}
builddir=${builddir:-.}
. "$srcdir/tests/tools/tap.sh"
model=$builddir/tests/model/check-model

"$model" --only=no-such-scenario | grep -q SKIP && skip_all "the model does not run here"

# caught BUG SCENARIO: the words of a scenario that shows it
caught() {
        if "$model" --bug="$1" --only="$2" --stop --seconds=20 >"$work/log" 2>&1; then
                not_ok "$1 is caught" "$(tail -n 3 "$work/log")"
        else
                ok "$1 is caught: $(sed -n 's/^not ok [0-9]* - //p' "$work/log" | sed 's/[;#].*//' | head -n 1)"
        fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

caught shm-no-rebuild "two writers"
caught shm-no-liveness "two writers"
caught shm-no-drain "writer and reader"
caught shm-no-journal "writer and reader"
caught shm-no-wake "two writers"
caught shm-no-drain-bell "writer and reader"
caught shm-no-undo "tries"
caught shm-no-flush "one entry, two kills"
caught shm-wake-before-release "two writers"
caught shm-no-clock "three writers"
tap_done
