#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Headers stand alone: public ones in every C since C99 and in C++, those of the house in ours.
set -eu
srcdir=${srcdir:-.}
builddir=${builddir:-build}
. "$srcdir/tests/tools/tap.sh"
cc=${CC:-cc}
cxx=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile LANGUAGE STANDARD HEADER COMPILER [FLAG..]: twice, since a guard may be wrong
compile() {
        language=$1 standard=$2 header=$3
        shift 3
        printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$work/x"
        "$@" -x "$language" -std="$standard" -fsyntax-only "$work/x" 2>&1 || echo "$header: not as $standard"
}

# headers FOLDER: those below it; HEADERS= restricts them to names that contain it
headers() {
        (cd "$srcdir" && find "$1" -name "*${HEADERS:-}*.h" | sed 's|^[a-z]*/||' | LC_ALL=C sort)
}

each_public() {
        headers include | while read -r header; do
                compile "$1" "$2" "$header" "$3" -I"$srcdir/include" -pedantic -Wall -Wextra -Wundef -Wshadow -Werror
        done
}

internal() {
        headers src | while read -r header; do
                printf '#include "%s"\n' "$header" >"$work/x"
                # shellcheck disable=SC2086  # flags are words
                "$cc" -x c -std=gnu11 -fsyntax-only -include "$builddir/config.h" -I"$srcdir/src" \
                        -I"$srcdir/include" ${HEADER_CFLAGS:-} -Wall -Wextra -Wno-unused-parameter -Werror "$work/x" 2>&1 ||
                        echo "src/$header: does not stand alone"
        done
}

for standard in c99 c11 c17 c2x; do
        check "public headers in $standard" "$(each_public c $standard "$cc")"
done
if command -v "$cxx" >/dev/null; then
        for standard in c++98 c++11 c++20; do
                check "public headers in $standard" "$(each_public c++ $standard "$cxx")"
        done
else
        skip "public headers in C++" "no C++ compiler"
fi
check "headers of the house" "$(internal)"
tap_done
