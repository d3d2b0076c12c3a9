#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Known mistakes, built in by ./configure --enable-seeded-bugs and switched on by $TOOZ_BUG: each makes the named test
# fail, which passes without it.
set -eu
srcdir=${srcdir:-.}
builddir=${builddir:-build}
. "$srcdir/tests/tools/tap.sh"

grep -q '^#define TOOZ_SEEDED_BUGS 1' "$builddir/config.h" || skip_all "built without --enable-seeded-bugs"

# run PROGRAM SUITE/TEST: runs this test alone
run() {
        "$builddir/tests/core/$1" --filter "$2" >/dev/null 2>&1
}

# catches BUG PROGRAM SUITE/TEST
catches() {
        if ! run "$2" "$3"; then
                not_ok "$1: $3" "fails without the bug"
        elif TOOZ_BUG=$1 run "$2" "$3"; then
                not_ok "$1: $3" "passes with the bug"
        else
                ok "$1: $3"
        fi
}

catches no-owner-check test-lock-session lock_session/a_node_of_another_session_is_not_ours
catches no-owner-check test-lock-session lock_session/a_found_node_of_the_session_before_is_deleted
catches no-deadline-check test-session session/after_a_late_timer_the_deadline_comes_first
catches no-deadline-check test-lock-session lock_session/lost_in_time_while_still_disconnected
catches no-delete-retry test-lock-session lock_session/a_delete_of_unknown_outcome_is_repeated_until_it_is_done
catches wrong-predecessor test-lock-cluster lock_cluster/a_waiter_watches_its_predecessor_only
catches wrong-predecessor test-tenure tenure/a_reader_waits_for_the_nearest_writer
catches token-from-sequence test-lock-cluster lock_cluster/acquire_and_release
catches deadline-from-newest test-session session/deadline_is_the_last_but_one_plus_three_quarters
# The simulator knows nothing of how the core works: it sees a promise broken. In it a node under our name is never
# another session's, so no-owner-check breaks none.
for bug in no-deadline-check no-delete-retry wrong-predecessor token-from-sequence deadline-from-newest; do
        catches $bug test-random-cluster random_cluster/promises_hold_whatever_fails
done
tap_done
