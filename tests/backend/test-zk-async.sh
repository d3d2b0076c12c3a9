#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The synchronous API of libzookeeper is banned: it would stop the loop for as long as the servers like.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/tools/tap.sh"

# All of its functions that wait, of every version.
banned='zoo_(create|create2|create_ttl|create2_ttl|delete|exists|wexists|get|wget|getconfig|wgetconfig|reconfig|set|set2'
banned="$banned|get_children|wget_children|get_children2|wget_children2|get_acl|set_acl|multi|remove_watches"
banned="$banned|remove_all_watches|sync)"

objects=$(find "${builddir:?}/src/backend" -name '*zk-*.o' | LC_ALL=C sort)
[ -n "$objects" ] || skip_all "no objects in the build tree"

# shellcheck disable=SC2086
undefined() {
        nm -A -u $objects
}

check "no object refers to the synchronous API" "$(undefined | grep -E " U $banned\$" || :)"
check "the library's threads end in zk-thread.c" "$(
        undefined | grep -E ' U (pthread_create|zookeeper_init2?|zookeeper_close)$' | grep -v 'zk-thread\.o:' || :)"
check "sources call nothing of it" "$(grep -nE "\b${banned}[[:space:]]*\(" "$srcdir"/src/backend/zk-*.c || :)"

# The check itself: the asynchronous calls are seen, so the others would be.
if undefined | grep -qE ' U zoo_acreate2$'; then
        ok "asynchronous calls are seen by this check"
else
        not_ok "asynchronous calls are seen by this check"
fi
tap_done
