#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `make install` puts all in the right places: what is installed is laid over / (an overlay that only this test
# sees), and systemd and the bus daemon judge it there.
set -u
: "${srcdir:?}" "${builddir:?}"
. "$srcdir/tests/tools/tap.sh"
# shellcheck source=tests/system/kit/host.sh
. "$srcdir/tests/system/kit/host.sh"
host_enter "$@"

installed() {
        [ -e "$dest$1" ] || echo "$1 is missing"
}

unit=usr/lib/systemd/system/tooz-agent.service

if out=$(host_install); then ok "make install"; else not_ok "make install" "$out"; fi
check "files in their places" "$(
        installed /$unit
        installed /usr/lib/sysusers.d/tooz.conf
        installed /usr/lib/tmpfiles.d/tooz.conf
        installed /usr/share/dbus-1/system.d/org.tooz.Agent1.conf
        installed /usr/share/dbus-1/system-services/org.tooz.Agent1.service
        installed /usr/libexec/tooz/tooz-agent
        installed /usr/bin/toozctl
        installed /usr/include/tooz/tooz.h
        installed /usr/share/doc/tooz/ARCHITECTURE.md
)"
check "nothing in /etc, /var or /run: those are the host's" "$(cd "$dest" && ls -d etc var run 2>/dev/null)"
check "no path of the build is left in what is installed" "$(
        grep -rlF -e "$builddir" -e "$dest" "$dest" --include='*.service' --include='*.conf' --include='*.pc'
        grep -rnE '@[a-z]+@' "$dest/usr/lib" --include='*.service'
)"
check "documents that the unit names exist" "$(
        sed -n 's/^Documentation=//p' "$dest/$unit" | tr ' ' '\n' | sed -n 's|^file://||p' | while read -r doc; do
                installed "$doc"
        done
)"
check "exposure of the unit at most 1.5" "$(
        systemd-analyze security --offline=true --threshold=15 "$dest/$unit" >"$work/security" 2>&1 ||
                tail -n 1 "$work/security"
)"
if command -v xmllint >/dev/null; then
        check "bus policy is well-formed" "$(xmllint --noout --nonet "$dest"/usr/share/dbus-1/system.d/*.conf 2>&1)"
else
        skip "bus policy is well-formed" "xmllint is not installed"
fi

if ! host_overlay; then
        skip "the installed tree as / of a host" "$why"
        tap_done
fi

check "systemd-analyze verify has nothing to say" "$(host_chroot systemd-analyze verify --man=no tooz-agent.service || echo failed)"
check "the user is made" "$(
        host_chroot systemd-sysusers >"$work/sysusers" || cat "$work/sysusers"
        host_chroot getent passwd tooz >/dev/null || echo "no user tooz"
)"
check "the folders are made" "$(
        host_chroot systemd-tmpfiles --create /usr/lib/tmpfiles.d/tooz.conf || echo failed
        host_chroot stat -c '%U:%G %a %n' /run/tooz /etc/tooz /etc/tooz/agent.conf.d >"$work/folders"
        printf '%s\n' "tooz:tooz 755 /run/tooz" "root:root 755 /etc/tooz" "root:root 755 /etc/tooz/agent.conf.d" |
                diff - "$work/folders"
)"
check "the programs start" "$(
        host_chroot /usr/libexec/tooz/tooz-agent --version >/dev/null || echo "tooz-agent --version fails"
        host_chroot toozctl --version >/dev/null || echo "toozctl --version fails"
)"

# A bus daemon with the policies of that host: who may own the name, who may call it.
bus_test() {
        cat >"$root/run/bus.conf" <<CONF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
<type>system</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
<allow send_destination="org.freedesktop.DBus"/><allow receive_type="method_return"/><allow receive_type="error"/></policy>
<includedir>/usr/share/dbus-1/system.d</includedir>
</busconfig>
CONF
        chroot "$root" dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile --nosyslog >"$work/bus.log" 2>&1 &
        daemon=$!
        for _ in $(seq 200); do
                [ ! -S "$root/run/bus" ] || break
                sleep 0.05
        done
        chmod 666 "$root/run/bus"
        own tooz || echo "user tooz may not own the name"
        ! own nobody || echo "user nobody may own the name"
        kill "$daemon"
        wait "$daemon"
}

# RequestName() answers 1 when the name is ours now.
own() {
        chroot "$root" setpriv --reuid="$1" --clear-groups \
                busctl --address=unix:path=/run/bus call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus \
                RequestName su org.tooz.Agent1 4 2>>"$work/own.log" | grep -qx 'u 1'
}

if command -v dbus-daemon >/dev/null; then
        check "only the agent's user may own the bus name" "$(bus_test)"
else
        skip "only the agent's user may own the bus name" "dbus-daemon is not installed"
fi
tap_done
