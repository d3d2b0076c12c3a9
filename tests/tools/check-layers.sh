#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Include directions between the layers, and fences around the headers of libraries.
#
# The table is layers.txt. A quoted include names "layer/file.h": relative paths, names without a folder and
# computed includes would pass by the table, so they are violations themselves.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/tools/tap.sh"
cd "$srcdir/src"
table=../tests/tools/layers.txt

# "file:line:what stands behind #include", comments and continuation lines undone
includes() {
        find "$@" -type f \( -name '*.[ch]' -o -name '*.inc' -o -name '*.def' \) | LC_ALL=C sort | xargs awk '
                FNR == 1 { held = "" }
                /\\$/ { held = held substr($0, 1, length($0) - 1); next }
                { line = held $0; held = "" }
                {
                        gsub(/\/\*([^*]|\*[^\/])*\*\//, " ", line)
                        if (line ~ /^[ \t]*(#|%:|\?\?=)[ \t]*(include|include_next|import)/) {
                                sub(/^[ \t]*(#|%:|\?\?=)[ \t]*/, "", line)
                                print FILENAME ":" FNR ":" line
                        }
                }'
}

# All violations as "rule file:line: what"
violations() {
        includes . | awk -v table="$table" '
                BEGIN {
                        while ((getline row < table) > 0) {
                                if (row ~ /^#/ || row !~ /:/)
                                        continue
                                key = substr(row, 1, index(row, ":") - 1)
                                if (key ~ /^</)
                                        fence[key] = substr(row, index(row, ":") + 1)
                                else
                                        edge[key] = substr(row, index(row, ":") + 1) " "
                        }
                }
                function bad(rule, what) {
                        print rule " src/" file ":" number ": " what
                }
                {
                        sub(/^\.\//, "")
                        split($0, part, ":")
                        file = part[1]; number = part[2]
                        what = substr($0, length(file) + length(number) + 3)
                        layer = file; sub(/\/.*/, "", layer)

                        if (what !~ /^include[ \t]*["<]/) {
                                bad("form", what " is not a plain include")
                                next
                        }
                        sub(/^include[ \t]*/, "", what)
                        if (what ~ /^"/) {
                                target = what; sub(/^"/, "", target); sub(/".*/, "", target)
                                if (target ~ /(^|\/)\.\.?(\/|$)/ || target ~ /^\// || target !~ /^[a-z]+\//)
                                        bad("form", what " is not \"layer/file.h\"")
                                sub(/\/.*/, "", target)
                                if (!(layer in edge))
                                        bad("edge", "layer " layer " is not in layers.txt")
                                else if (index(edge[layer], " " target " ") == 0)
                                        bad("edge", layer " may not include " target " (" what ")")
                                next
                        }
                        target = what; sub(/^</, "", target); sub(/\/.*/, "", target)
                        if (target in edge || what ~ /\.\.\//)
                                bad("form", what " is ours: use quotes")
                        for (prefix in fence) {
                                if (index(what, prefix) != 1)
                                        continue
                                n = split(fence[prefix], places, " ")
                                allowed = 0
                                for (i = 1; i <= n; i++)
                                        allowed += index(file, places[i]) == 1
                                if (!allowed)
                                        bad("fence", what " belongs in" (n ? fence[prefix] : " no layer"))
                        }
                }'
}

# Public headers include public ones and libc's; the one for sd-event programs alone needs systemd's.
public() {
        cd ../include
        find . -name '*.h' | LC_ALL=C sort | xargs grep -nE '^[[:space:]]*#[[:space:]]*include' /dev/null |
                grep -vE 'include <(tooz/[a-z-]+\.h|[a-z]+\.h|sys/[a-z]+\.h|linux/[a-z]+\.h)>' |
                grep -vE '^\./tooz/tooz-event\.h:[0-9]+:#include <systemd/sd-(bus|event)\.h>' || :
}

# Folders without a row, sources outside of any layer.
strays() {
        for path in *; do
                if [ -d "$path" ]; then
                        grep -q "^$path:" "$table" || echo "src/$path: no row in layers.txt"
                else
                        case "$path" in *.am) ;; *) echo "src/$path: in no layer" ;; esac
                fi
        done
}

found=$(violations)
check "layers include only what their row allows" "$(printf '%s\n' "$found" | sed -n 's/^edge //p')"
check "library headers stay behind their fences" "$(printf '%s\n' "$found" | sed -n 's/^fence //p')"
check "includes have the form that the table can judge" "$(printf '%s\n' "$found" | sed -n 's/^form //p')"
check "public headers include public headers" "$(public)"
check "every source is in a layer" "$(strays)"
tap_done
