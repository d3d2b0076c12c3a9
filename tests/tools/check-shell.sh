#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Shell scripts pass shellcheck.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/tools/tap.sh"
cd "$srcdir"
command -v shellcheck >/dev/null || skip_all "shellcheck is not installed"

# SCRIPTS= restricts them to names that contain it
scripts() {
        find bootstrap .ci tests examples systemd -type f -name "*${SCRIPTS:-}*" 2>/dev/null | LC_ALL=C sort | while read -r file; do
                case "$file" in
                *.sh) echo "$file" ;;
                *) if head -n 1 "$file" | grep -qaE '^#!.*/(env )?(ba|da)?sh'; then echo "$file"; fi ;;
                esac
        done
}

for script in $(scripts); do
        check "$script" "$(shellcheck "$script" 2>&1 || :)"
done
tap_done
