#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The checks themselves: in a copy of the tree each violation is planted in turn, and its check must name it.
set -eu
srcdir=${srcdir:-.}
builddir=${builddir:-build}
. "$srcdir/tests/tools/tap.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree

fresh_tree() {
        rm -rf "$tree"
        mkdir "$tree"
        for part in bootstrap .ci .shellcheckrc src include docs tests examples systemd; do
                [ ! -e "$srcdir/$part" ] || cp -R "$srcdir/$part" "$tree/"
        done
        chmod -R u+w "$tree"
}

run() {
        (srcdir=$tree builddir=$(cd "$builddir" && pwd) sh "$tree/tests/tools/check-$1.sh") >"$work/out" 2>&1
}

# must_fail CHECK NAME TEXT: the check fails, and TEXT is in what it says (it was not before)
must_fail() {
        if run "$1"; then
                not_ok "$1: $2" "passes: $(cat "$work/out")"
        elif grep -q '^not ok' "$work/out" && grep -q -e "$3" "$work/out"; then
                ok "$1: $2"
        else
                not_ok "$1: $2" "fails without naming \"$3\": $(cat "$work/out")"
        fi
}

# plant CHECK NAME FILE TEXT: the text, with \n, is added to FILE; the check must name FILE
plant() {
        existed=yes
        [ -e "$tree/$3" ] || existed=
        [ -z "$existed" ] || cp "$tree/$3" "$work/saved"
        mkdir -p "$(dirname "$tree/$3")"
        # shellcheck disable=SC2059  # the text is a format
        printf "$4" >>"$tree/$3"
        must_fail "$1" "$2" "${5:-$3}"
        if [ -n "$existed" ]; then cp "$work/saved" "$tree/$3"; else rm "$tree/$3"; fi
}

# lines FORMAT N: that many lines, each with its number
lines() {
        i=0
        while [ "$i" -lt "$2" ]; do
                i=$((i + 1))
                # shellcheck disable=SC2059  # the text is a format
                printf "$1\\\\n" "$i"
        done
}

spdx='/* SPDX-License-Identifier: Apache-2.0 */\n'
spdx_lib='/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */\n'
guard='#ifndef TOOZ_PLANTED_H\n#define TOOZ_PLANTED_H\n'

layers() {
        plant layers "an upward include" src/core/planted.c '#include "bus/bus.h"\n'
        plant layers "an upward include in a header" src/base/planted.h '#include "core/name.h"\n'
        plant layers "blanks before include" src/core/planted.c '  #   include   "bus/bus.h"\n'
        plant layers "no blank behind include" src/core/planted.c '#include"bus/bus.h"\n'
        plant layers "a tab before include" src/core/planted.c '#\tinclude "bus/bus.h"\n'
        plant layers "a comment before include" src/core/planted.c '#/* x */include "bus/bus.h"\n'
        plant layers "a digraph" src/core/planted.c '%%:include "bus/bus.h"\n'
        plant layers "a continued line" src/core/planted.c '#include \\\n "bus/bus.h"\n'
        plant layers "include_next" src/core/planted.c '#include_next "bus/bus.h"\n'
        plant layers "a computed include" src/core/planted.c '#define X "bus/bus.h"\n#include X\n'
        plant layers "a relative include" src/core/planted.c '#include "../bus/bus.h"\n'
        plant layers "a relative include behind a layer" src/core/planted.c '#include "base/../bus/bus.h"\n'
        plant layers "an include of the same folder" src/core/planted.c '#include "name.h"\n'
        plant layers "a layer in angle brackets" src/core/planted.c '#include <bus/bus.h>\n'
        plant layers "the agent in the command line" src/ctl/planted.c '#include "agent/agent.h"\n'
        plant layers "liburing outside of loop" src/bus/planted.c '#include <liburing.h>\n'
        plant layers "a part of liburing outside of loop" src/agent/planted.c '#include <liburing/io_uring.h>\n'
        plant layers "zookeeper in the agent" src/agent/planted.c '#include <zookeeper/zookeeper.h>\n'
        plant layers "zookeeper in another backend" src/backend/node-planted.c '#include <zookeeper/zookeeper.h>\n'
        plant layers "systemd in core" src/core/planted.c '#include <systemd/sd-bus.h>\n'
        plant layers "systemd in the agent" src/agent/planted.c '#include <systemd/sd-daemon.h>\n'
        plant layers "uthash without its rules" src/core/planted.c '#include <uthash.h>\n'
        plant layers "a folder without a row" src/planted/planted.c '#include "base/macro.h"\n'
        rmdir "$tree/src/planted"
        plant layers "a source in no layer" src/planted.c 'int planted;\n'
        plant layers "a house header in a public one" include/tooz/planted.h '#include "base/macro.h"\n' planted.h
}

size() {
        plant size "a file of 801 lines" src/core/planted.c "$(lines '/* %d */' 801)"
        plant size "a function of 71 lines" src/core/planted.c \
                "int planted(void) {\\n$(lines '        work(%d);' 69)        return 0;\\n}\\n"
        plant size "a static function of 71 lines in a test" tests/core/planted.c \
                "static void planted(int a,\\n int b) {\\n$(lines '        work(%d);' 68)}\\n"
        plant size "a struct of 26 members" src/core/planted.h \
                "typedef struct Planted {\\n$(lines '        int m%d;' 26)} Planted;\\n"
}

text() {
        plant text "no licence line" src/core/planted.c 'int planted;\n'
        plant text "a public header under one licence" include/tooz/planted.h "$spdx$guard#endif\\n"
        plant text "a script without licence line" tests/system/planted.sh '#!/bin/sh\necho\n'
        plant text "no pragma once" src/core/planted.h "$spdx"
        plant text "no guard" include/tooz/planted.h "${spdx_lib}#pragma once\\n"
        plant text "a tab" src/core/planted.c "$spdx\\tint planted;\\n"
        plant text "a blank at the end" src/core/planted.c "${spdx}int planted; \\n"
        plant text "no newline at the end" src/core/planted.c "${spdx}int planted;"
        plant text "something left to do" src/core/planted.c "$spdx/* TO""DO: think */\\n"
        plant text "a temporary comment" src/core/planted.c "${spdx}int planted; // why\\n"
}

tables() {
        plant tables "a table without test" src/core/planted.c 'DEFINE_STRING_TABLE(planted, Planted, 3);\n' planted
        plant tables "a table made by hand" src/core/planted.c 'const char *planted_to_string(int x) {\n' planted
        plant tables "an enum without names" src/core/planted.h \
                'typedef enum Planted {\n        PLANTED_A,\n        _PLANTED_MAX,\n} Planted;\n' Planted
}

headers() {
        HEADERS=planted
        export HEADERS
        plant headers "a public header that needs another" include/tooz/planted.h "${guard}size_t planted(void);\\n#endif\\n"
        plant headers "a public header that is no C++" include/tooz/planted.h "${guard}int planted(int class);\\n#endif\\n"
        plant headers "a public header that is no C99" include/tooz/planted.h \
                "${guard}_Static_assert(1, \"planted\");\\n#endif\\n"
        plant headers "a public header that can't come twice" include/tooz/planted.h 'struct planted { int x; };\n'
        plant headers "a house header that needs another" src/core/planted.h '#pragma once\nbool planted(void);\n'
}

shell() {
        SCRIPTS=planted
        export SCRIPTS
        command -v shellcheck >/dev/null || { skip "shell" "shellcheck is not installed"; return; }
        plant shell "an unquoted variable" tests/system/planted.sh '#!/bin/sh\nrm -f $1\n'
        plant shell "a script without suffix" tests/tools/planted '#!/bin/bash\nrm -f $1\n'
}

man() {
        plant man "a function without a page" include/tooz/tooz-local.h 'int tooz_local_planted(void);\n' tooz_local_planted
}

# A library of two functions in place of the real one, so that this needs no build.
fake_library() {
        mkdir -p "$tree/src/client" "$work/libs"
        rm -rf "$tree/include/tooz"
        mkdir -p "$tree/include/tooz"
        printf 'int tooz_a(void);\nint tooz_b(void);\n%b' "${1:-}" >"$tree/include/tooz/tooz.h"
        printf 'TOOZ_0.1 { global: %s local: *; };\n' "${2:-tooz_a; tooz_b;}" >"$tree/src/client/libtooz.sym"
        printf 'int tooz_a(void);\nint tooz_a(void) { return 1; }\nint tooz_b(void) { return 2; }\n%b' "${3:-}" |
                ${CC:-cc} -shared -fPIC -x c - -o "$work/libs/libtooz.so" "-Wl,--version-script=${4:-$tree/src/client/libtooz.sym}"
}

symbols() {
        LIBS_DIR=$work/libs
        export LIBS_DIR
        fake_library
        if run symbols; then ok "symbols: a good library passes"; else not_ok "symbols: a good library passes" "$(cat "$work/out")"; fi
        fake_library '' 'tooz_a; tooz_b; tooz_gone;'
        must_fail symbols "a symbol of the map that does not exist" tooz_gone
        fake_library 'int tooz_late(void);\n' '' 'int tooz_late(void) { return 3; }\n'
        must_fail symbols "a declared function that is not exported" tooz_late
        fake_library '' 'tooz_a; tooz_b; tooz_secret;' 'int tooz_secret(void) { return 3; }\n'
        must_fail symbols "an export that no header declares" tooz_secret
        fake_library '' 'tooz_a; tooz_b; list_append;' 'int list_append(void) { return 3; }\n'
        must_fail symbols "an export without our prefix" list_append
        printf 'TOOZ_0.1 { global: *; };\n' >"$work/all.sym"
        fake_library '' '' 'int tooz_leak(void) { return 3; }\n' "$work/all.sym"
        must_fail symbols "an export that the map does not name" tooz_leak
}

# A check that fails already would name nothing new.
fresh_tree
for check in layers size text tables headers man shell; do
        if run $check; then
                $check
        else
                not_ok "$check: fails before anything is planted" "$(cat "$work/out")"
        fi
done
symbols
tap_done
