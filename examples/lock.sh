#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A lock in shell: lock.sh NAME [SECONDS]
#
# The usual way is to give the command to toozctl:
#
#     toozctl lock -w 60 backup -- restic backup /srv
#
# This is the other way, for a script that holds a lock over a part of itself: toozctl without a command holds it
# until its standard input ends, so until we close ours, or die.
set -eu
name=$1

coproc LOCK { exec toozctl lock -w 60 "$name"; }
holder=$LOCK_PID give_back=${LOCK[1]}
if ! read -r line <&"${LOCK[0]}"; then
        wait "$holder" # its status becomes ours: 124 when it was not free in time
fi
export "${line?}" # TOOZ_FENCING_TOKEN=…

echo "holds $name, token $TOOZ_FENCING_TOKEN"
sleep "${2:-1}" # the work

eval "exec $give_back>&-"
wait "$holder"
echo released
