#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Manual pages: each function of tooz-local.h has one, with the header's prototype; examples compile; groff is content.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/tools/tap.sh"
header=tooz/tooz-local.h
pages=$srcdir/docs/man
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Declarations as the compiler sees them, inline functions included: one a line, without any blank
declarations() {
        printf '#include <%s>\n' "$header" | ${CC:-cc} -E -P -x c -I"$srcdir/include" - | tr -d '\n' |
                sed -e 's/[;{}]/&\n/g' | sed -e 's/__attribute__((__warn_unused_result__))//' -e 's/static __inline__//' \
                -e 's/[[:space:]]//g' -e 's/[;{]$//' | grep -E '^[a-z].*[ *a-z]tooz_local_[a-z0-9_]+\(' |
                grep -vE '^(typedef|\(void\)|if|return)' | LC_ALL=C sort -u
}

# The same from the SYNOPSIS of a page
prototypes() {
        awk '/^\.SH/ { on = $2 == "SYNOPSIS"; next } on && /^\.B/ && !/#include/ { print }' "$1" |
                sed -e 's/^\.BI* //' -e 's/["[:space:]]//g' -e 's/\\-/-/g' | tr -d '\n' | sed 's/;/\n/g'
}

# Names of the functions in lines of either
functions() {
        grep -oE 'tooz_local_[a-z0-9_]+\(' | tr -d '('
}

# The page that a stub names, or the page itself
target() {
        to=$(sed -n 's|^\.so man3/||p' "$1")
        echo "${to:-$(basename "$1")}"
}

missing() {
        functions <"$work/declared" | while read -r name; do
                if [ ! -e "$pages/$name.3" ]; then
                        echo "$name: no docs/man/$name.3"
                elif to=$pages/$(target "$pages/$name.3"); [ ! -e "$to" ]; then
                        echo "$name.3: leads to $(basename "$to"), which does not exist"
                else
                        awk '/^\.SH/ { on = $2 == "NAME" } on' "$to" | grep -qw "$name" ||
                                echo "$(basename "$to"): $name leads to it, and is not in its NAME"
                        prototypes "$to" | functions | grep -qx "$name" ||
                                echo "$(basename "$to"): $name leads to it, and is not in its SYNOPSIS"
                fi
        done
}

stale() {
        for page in "$pages"/*.3; do
                functions <"$work/declared" | grep -qx "$(basename "$page" .3)" ||
                        echo "$(basename "$page"): no such function in $header"
                prototypes "$page" | while read -r prototype; do
                        grep -qxF -e "$prototype" "$work/declared" || echo "$(basename "$page"): not in $header: $prototype"
                done
        done
}

flags() {
        sed -n 's/^#define \(TOOZ_LOCAL_[A-Z_]*\) .*/\1/p' "$srcdir/include/$header" | while read -r flag; do
                grep -qw "$flag" "$pages"/*.3 || echo "$flag: in no page"
        done
}

sections() {
        for page in "$pages"/*.3; do
                [ "$(target "$page")" = "$(basename "$page")" ] || continue
                for section in NAME SYNOPSIS DESCRIPTION 'RETURN VALUE' ERRORS ATTRIBUTES 'SEE ALSO'; do
                        grep -qx "\.SH $section" "$page" || echo "$(basename "$page"): no $section"
                done
        done
}

# SEE ALSO and the text lead to pages that exist.
references() {
        grep -oE '(tooz_local_[a-z0-9_]+|libtoozlocal) \([37]\)' "$pages"/*.[37] | sed "s|^.*/||; s|:| |; s|[()]||g" |
                while read -r page name section; do
                        [ -e "$pages/$name.$section" ] || echo "$page: leads to $name($section), which does not exist"
                done
}

licences() {
        for page in "$pages"/*.[37]; do
                [ "$(head -n 1 "$page")" = '.\" SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later' ] ||
                        echo "$(basename "$page"): no licence line"
        done
}

installed() {
        for page in "$pages"/*.[37]; do
                grep -qE "/$(basename "$page")( |$)" "$pages/man.am" || echo "$(basename "$page"): not in man.am"
        done
}

# Examples that are whole files: each begins with a line of the preprocessor.
examples() {
        for page in "$pages"/*.[37]; do
                awk '/^\.SH/ { on = $2 == "EXAMPLE" } /^\.E[XE]/ { text = $0 == ".EX"; first = text; next }
                        on && text && first { first = 0; text = /^#/ } on && text { print }' "$page" |
                        sed -e 's/\\-/-/g' -e 's/\\e/\\/g' >"$work/example.c"
                [ ! -s "$work/example.c" ] || ${CC:-cc} -std=c11 -Wall -Wextra -Werror -fsyntax-only \
                        -I"$srcdir/include" "$work/example.c" 2>&1 | sed "s|^$work/example.c|$(basename "$page")|"
        done
}

# In the place where .so looks
warnings() {
        mkdir "$work/man3" "$work/man7"
        cp "$pages"/*.3 "$work/man3"
        cp "$pages"/*.7 "$work/man7"
        cd "$work"
        for page in man3/* man7/*; do
                groff -man -Tutf8 -ww -z "$page" 2>&1 || echo "$page: groff fails"
        done
}

declarations >"$work/declared"
[ -s "$work/declared" ] || echo "tooz_local_something()" >"$work/declared" # or nothing would be missing
check "each function has a page" "$(missing)"
check "each page is that of a function, with its prototype" "$(stale)"
check "each flag is explained" "$(flags)"
check "each page has its sections" "$(sections)"
check "references" "$(references)"
check "licences" "$(licences)"
check "man.am" "$(installed)"
check "examples" "$(examples)"
if command -v groff >/dev/null; then
        check "groff" "$(warnings)"
else
        skip "groff" "groff is not installed"
fi
tap_done
