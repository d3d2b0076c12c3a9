#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every enum has its names, and every table of names makes its round trip in a test.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/tools/tap.sh"
cd "$srcdir"

defined() {
        find src -name '*.c' | LC_ALL=C sort | xargs sed -nE 's/^(static )?DEFINE_STRING_TABLE\(([a-z0-9_]+),.*/\2/p' | sort -u
}

missing() {
        defined | while read -r name; do
                find tests -name test-tables.c -print0 | xargs -0 grep -qE "\\b$name\\b" /dev/null ||
                        grep -rqE --include='test-*.c' "\\b${name}_from_string\\b" tests ||
                        echo "$name: no tests/*/test-tables.c makes its round trip"
        done
}

# A table that is written by hand has no row check and no way back.
home_made() {
        find src -name '*.[ch]' | LC_ALL=C sort |
                xargs grep -nE '^(static )?(inline )?const char \*[a-z0-9_]+_to_string\(.*\{' /dev/null || :
}

# The sentinel of an enum says that it has names.
nameless() {
        find src -name '*.h' | LC_ALL=C sort | xargs awk '
                /^typedef enum [A-Za-z]+/ { name = $3; max = "" }
                name && /^ +_[A-Z0-9_]+_MAX,?$/ { max = $1; sub(/,/, "", max) }
                /^} [A-Za-z]+;/ && name { if (max) print max, FILENAME ": " name; name = "" }' |
                while read -r max what; do
                        find src -name '*.c' -print0 | xargs -0 grep -qE "DEFINE_STRING_TABLE\(.*, $max\)" ||
                                echo "$what has $max but no DEFINE_STRING_TABLE"
                done
}

check "every table is tested" "$(missing)"
check "tables are made by DEFINE_STRING_TABLE" "$(home_made)"
check "every enum with a _MAX has its names" "$(nameless)"
tap_done
