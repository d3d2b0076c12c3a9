#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The libraries export what their version map says, what their headers declare, and nothing else.
set -eu
srcdir=${srcdir:-.}
builddir=${builddir:-build}
. "$srcdir/tests/tools/tap.sh"
libs=${LIBS_DIR:-$builddir/src/.libs}

# Names in the global: parts of a version map
mapped() {
        sed -e 's|/\*.*\*/||g' -e 's|#.*||' "$1" | sed 's/[{};[:space:]]/\n/g' |
                awk '/^global:$/ { on = 1; next } /^local:$/ { on = 0; next } on && /^[A-Za-z_*]/ { print }' | LC_ALL=C sort
}

# name@@VERSION of each defined dynamic symbol, without the version nodes themselves
exported() {
        nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort
}

# The same library, compared with map, headers and prefix
library() {
        name=$1 map=$2 prefix=$3 headers=$4
        lib=$libs/$name.so
        if [ ! -e "$srcdir/$map" ]; then
                skip "$name" "no $map in this tree"
                return
        fi
        if [ ! -e "$lib" ]; then
                skip "$name" "not built here"
                return
        fi
        mapped "$srcdir/$map" >"$work/map"
        exported "$lib" >"$work/lib"
        [ -s "$work/map" ] || echo "the map is empty" >>"$work/map"
        check "$name: exports are those of $map" "$(LC_ALL=C diff "$work/map" "$work/lib" | grep '^[<>]' |
                sed -e 's/^</only in the map:/' -e 's/^>/only in the library:/' || :)"
        check "$name: prefix $prefix" "$(grep -v "^$prefix" "$work/lib" || :)"
        check "$name: every export is declared in a public header" "$(undeclared "$headers")"
        check "$name: every function of the headers is exported" "$(unexported "$headers" "$prefix")"
        check "$name: every name has a version" "$(nm -D --defined-only "$lib" | awk '$2 != "A" && $3 !~ /@/ { print $3 }')"
}

undeclared() {
        while read -r symbol; do
                # shellcheck disable=SC2086  # a list of headers
                (cd "$srcdir/include/tooz" && cat $1 /dev/null) | grep -qE "\\b${symbol}[[:space:]]*\\(" || echo "$symbol"
        done <"$work/lib"
}

# Declarations as the compiler sees them: inline functions have a body and need no export.
unexported() {
        for header in $1; do
                printf '#include <tooz/%s>\n' "$header" | ${CC:-cc} -E -P -x c -I"$srcdir/include" - |
                        tr -d '\n' | sed 's/[;}]/&\n/g' | grep -v '{' |
                        grep -v '^[[:space:]]*typedef' | grep -oE "\\b$2[a-z0-9_]+[[:space:]]*\\([^*]" |
                        sed 's/[[:space:]]*(.*//'
        done | LC_ALL=C sort -u | while read -r symbol; do
                grep -qx "$symbol" "$work/lib" || echo "$symbol"
        done
}

# libtoozlocal needs libc alone: a program that locks must not load a bus or a cluster client.
needed() {
        readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so|ld-linux|libasan|libubsan)' || :
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
library libtooz src/client/libtooz.sym tooz_ "$(cd "$srcdir/include/tooz" && echo tooz.h tooz-*.h | tr ' ' '\n' |
        grep -vE 'local|\*' | xargs ls 2>/dev/null | tr '\n' ' ')"
library libtoozlocal src/local/libtoozlocal.sym tooz_local_ tooz-local.h
[ ! -e "$libs/libtoozlocal.so" ] || check "libtoozlocal: needs libc alone" "$(needed "$libs/libtoozlocal.so")"
tap_done
