#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is installed runs as a service: a host with it is booted, and the unit, its sandbox, activation, reload,
# watchdog and restarts are tried there.
set -u
: "${srcdir:?}" "${builddir:?}"
. "$srcdir/tests/tools/tap.sh"
# shellcheck source=tests/system/kit/host.sh
. "$srcdir/tests/system/kit/host.sh"
host_enter "$@"

# expect NAME COMMAND..: succeeds; else what it said, and the agent's log, are shown
expect() {
        name=$1
        shift
        if out=$("$@" 2>&1); then
                ok "$name"
        else
                not_ok "$name" "$out
$(host_run journalctl -q -u tooz-agent -o cat -n 20 --no-pager 2>&1)"
                return 1
        fi
}

show() {
        host_run systemctl show -P "$1" tooz-agent
}

# is PROPERTY VALUE
is() {
        value=$(show "$1")
        [ "$value" = "$2" ] || { echo "$1 is $value, not $2"; return 1; }
}

# Until a condition holds; a host that is slow is not wrong.
until_true() {
        for _ in $(seq 400); do
                ! "$@" >/dev/null 2>&1 || return 0
                sleep 0.05
        done
        "$@"
}

toozctl() {
        host_run toozctl "$@"
}

call() {
        host_run busctl call org.tooz.Agent1 /org/tooz/Agent1 "$@"
}

is_sandboxed() {
        status=$(host_run cat "/proc/$(show MainPID)/status") || return
        for line in "CapEff:	0000000000000000" "CapBnd:	0000000000000000" "NoNewPrivs:	1" "Seccomp:	2"; do
                printf '%s\n' "$status" | grep -qx "$line" || { printf 'no "%s" in\n%s\n' "$line" "$status"; return 1; }
        done
        [ "$(host_run stat -c %U "/proc/$(show MainPID)")" = tooz ]
}

uses_io_uring() {
        toozctl status | grep -qi io_uring
}

# The unit of the holder is read in /proc, and its death in a pidfd: both must work in the sandbox.
holder_is_seen() {
        host_run systemd-run -q --unit=holder toozctl lock seen -- sleep 600 || return
        until_true toozctl is-locked seen || return
        toozctl lock-status seen | grep -q holder.service || { toozctl lock-status seen; return 1; }
        host_run systemctl kill -s KILL holder || return
        toozctl lock -w 20 seen -- true
}

only_their_own_locks() {
        host_run_as nobody toozctl lock "user/$(id -u nobody)/mine" -- true || return
        ! host_run_as nobody toozctl lock -n theirs -- true
}

wakes_up_on_demand() {
        host_run systemctl stop tooz-agent && is ActiveState inactive || return
        call org.freedesktop.DBus.Peer Ping && is ActiveState active
}

reloads() {
        pid=$(show MainPID)
        host_run systemctl reload tooz-agent && is ActiveState active && is MainPID "$pid" &&
                toozctl lock a -- true
}

is_restarted_when_hung() {
        n=$(show NRestarts)
        host_run systemctl kill -s STOP tooz-agent || return
        until_true is NRestarts $((n + 1)) && until_true is ActiveState active && toozctl lock a -- true
}

survives_a_storm() {
        for _ in $(seq 25); do
                until_true is SubState running || return
                host_run systemctl kill -s KILL tooz-agent || return
        done
        until_true is SubState running && until_true toozctl lock a -- true
}

# A wrong configuration is told, and not tried again and again.
refuses_bad_configuration() {
        echo 'Nonsense=yes' >"$root/etc/tooz/agent.conf.d/bad.conf"
        ! host_run systemctl restart tooz-agent || return
        until_true is ActiveState failed && is ExecMainStatus 78 || return
        host_run journalctl -q -u tooz-agent -o cat --no-pager | grep -q 'bad.conf:1.*Nonsense' || return
        rm "$root/etc/tooz/agent.conf.d/bad.conf"
        host_run systemctl restart tooz-agent && is ActiveState active
}

leaves_nothing() {
        pid=$(show MainPID)
        host_run systemctl stop tooz-agent && is ActiveState inactive && is Result success || return
        ! host_run test -e /run/tooz/agent.sock && ! host_run test -e "/proc/$pid"
}

out=$(host_install) || not_ok "make install" "$out"
host_overlay || skip_all "$why"
# Leaks can't be looked for under this seccomp filter, and are looked for everywhere else.
if grep -qa __asan_init "$root/usr/libexec/tooz/tooz-agent"; then
        mkdir -p "$root/etc/systemd/system/tooz-agent.service.d"
        printf '[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n' \
                >"$root/etc/systemd/system/tooz-agent.service.d/sanitizer.conf"
fi
host_boot || skip_all "$why"

expect "the service starts and says that it is ready" host_run systemctl start tooz-agent || tap_done
expect "it runs as tooz, without capabilities, behind seccomp" is_sandboxed
expect "io_uring works in the sandbox" uses_io_uring
expect "its one line says how it is" sh -c "[ -n \"\$1\" ]" _ "$(show StatusText)"
expect "a lock, by the command line" toozctl lock a -- true
expect "methods show the names of their arguments" sh -c "printf '%s' \"\$1\" | grep -q RequestLock" _ \
        "$(host_run busctl introspect org.tooz.Agent1 /org/tooz/Agent1 2>&1)"
expect "a holder is shown with its unit, and its death frees the lock" holder_is_seen
expect "a user may lock below user/<uid>/ alone" only_their_own_locks
expect "a call on the bus starts it" wakes_up_on_demand
expect "reload keeps the process" reloads
expect "the watchdog restarts a hung agent" is_restarted_when_hung
expect "after a storm of kills it is there again" survives_a_storm
expect "a wrong configuration fails once, with file and line" refuses_bad_configuration
expect "the log is in the journal, with levels" sh -c "[ -n \"\$1\" ]" _ \
        "$(host_run journalctl -q -u tooz-agent -p err -o cat --no-pager | grep Nonsense)"
expect "stop leaves no process and no socket" leaves_nothing
tap_done
