#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Size limits: files 800 lines, functions 70 lines, structs 25 members.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/tools/tap.sh"
cd "$srcdir"

sources() {
        find src include tests examples -type f -name '*.[ch]' | LC_ALL=C sort
}

scripts() {
        find tests examples -type f \( -name '*.sh' -o -name '*.py' \) | LC_ALL=C sort
}

long_files() {
        { sources; scripts; } | while read -r file; do
                lines=$(wc -l <"$file")
                [ "$lines" -le 800 ] || echo "$file: $lines lines, more than 800"
        done
}

tags() {
        sources | universal_ctags -L - -f - --languages=C --langmap=C:.c.h -u --fields=+neKsZ "$@"
}

universal_ctags() {
        LC_ALL=C.UTF-8 ctags --quiet --options=NONE "$@"
}

long_functions() {
        tags --kinds-C=f | awk -F '\t' '{
                line = end = 0
                for (i = 4; i <= NF; i++) {
                        if ($i ~ /^line:/) line = substr($i, 6)
                        if ($i ~ /^end:/) end = substr($i, 5)
                }
                if (end - line + 1 > 70)
                        print $2 ":" line ": " $1 "(): " end - line + 1 " lines, more than 70"
        }'
}

large_structs() {
        tags --kinds-C=m | awk -F '\t' '{
                scope = ""
                for (i = 4; i <= NF; i++)
                        if ($i ~ /^scope:struct:/) scope = substr($i, 14)
                if (scope != "")
                        n[$2 ": struct " scope]++
        }
        END {
                for (name in n)
                        if (n[name] > 25)
                                print name ": " n[name] " members, more than 25"
        }'
}

check "files" "$(long_files)"
if ctags --version 2>/dev/null | grep -q Universal; then
        check "functions" "$(long_functions)"
        check "structs" "$(large_structs)"
else
        not_ok "functions and structs" "universal-ctags is missing"
fi
tap_done
