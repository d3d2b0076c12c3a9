#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Text of the sources: licence line first, no tabs, no blanks at the end, nothing left to do.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/tools/tap.sh"
cd "$srcdir"

sources() {
        find src include tests examples -type f -name '*.[ch]' | LC_ALL=C sort
}

scripts() {
        find tests examples systemd .ci -type f 2>/dev/null | LC_ALL=C sort | while read -r file; do
                case "$file" in
                *.sh | *.py) echo "$file" ;;
                *) if head -c 2 "$file" | grep -q '^#!'; then echo "$file"; fi ;;
                esac
        done
}

# The libraries may also be used under the LGPL: what they are made of alone says so.
licences() {
        sources | while read -r file; do
                case "$file" in
                include/* | src/shm/* | src/local/* | src/client/*) want='Apache-2.0 OR LGPL-2.1-or-later' ;;
                *) want='Apache-2.0' ;;
                esac
                [ "$(head -n 1 "$file")" = "/* SPDX-License-Identifier: $want */" ] ||
                        echo "$file: first line is not the licence \"$want\""
        done
        scripts | while read -r file; do
                head -n 3 "$file" | grep -q '^# SPDX-License-Identifier: Apache-2.0$' ||
                        echo "$file: no licence line"
        done
}

# Headers of the house have #pragma once; public ones guards, for compilers that we don't know.
guards() {
        find src tests -name '*.h' | LC_ALL=C sort | while read -r file; do
                grep -qx '#pragma once' "$file" || echo "$file: no #pragma once"
        done
        find include -name '*.h' | LC_ALL=C sort | while read -r file; do
                grep -qE '^#ifndef TOOZ_([A-Z_]+_)?H$' "$file" || echo "$file: no include guard TOOZ_.._H"
        done
}

blanks() {
        tab=$(printf '\t')
        sources | xargs grep -nE "$tab|[[:space:]]$" /dev/null || :
        { sources; scripts; } | while read -r file; do
                [ -z "$(tail -c 1 "$file")" ] || echo "$file: no newline at the end"
        done
}

# The words are put together here so that this file has none of them.
leftovers() {
        { sources; scripts; } | xargs grep -nwE "TO""DO|FIX""ME|X""XX|HA""CK" /dev/null || :
}

# Foreign comments are temporary ones.
slashes() {
        sources | xargs grep -nE '(^|[^:"])//' /dev/null | grep -vE '"[^"]*//' | grep -vE ':[0-9]+: \*' || :
}

check "licence" "$(licences)"
check "include guards" "$(guards)"
check "tabs and trailing blanks" "$(blanks)"
check "nothing left to do" "$(leftovers)"
check "no temporary comments" "$(slashes)"
tap_done
