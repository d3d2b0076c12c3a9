# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# A host made of this machine's own / with our `make install` laid over it (an overlay mount that only the test
# sees), for tests that judge what is installed. Needs root.
#
#       host_enter "$@"         first: goes on in a mount namespace of our own, where that is allowed
#       host_install            make install, in $dest
#       host_overlay            $dest over /, writable, at $root
#       host_chroot CMD..       a command in it
#       host_boot               boots it: systemd as PID 1 in a container
#       host_run CMD..          a command in the booted host
#
# Each that can't be had here sets $why and fails. All is undone when the test exits.
: "${srcdir:?}" "${builddir:?}"
why=
work=
root=
leader=
container=
cgroups=

host_cleanup() {
        trap - EXIT INT TERM
        host_halt
        if [ -n "$root" ]; then umount -R "$root"; fi
        if [ -n "$work" ] && mountpoint -q "$work"; then umount -R "$work" 2>/dev/null || umount -l "$work"; fi
        if [ -n "$work" ]; then rm -rf "$work"; fi
}

# systemd and the bus daemon look below /usr, so that is where a build for them goes (make test has one).
host_enter() {
        grep -qs '^ExecStart=/usr/libexec/' "$builddir/systemd/tooz-agent.service" ||
                skip_all "this build is not configured with --prefix=/usr"
        if [ "${1:-}" != inside ] && [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
                exec unshare --mount --propagation private "$0" inside
        fi

        work=$(mktemp -d)
        trap host_cleanup EXIT
        trap 'exit 1' INT TERM
        dest=$work/dest
        if [ "${1:-}" != inside ]; then
                why="no mount namespace can be had here"
                [ "$(id -u)" = 0 ] || why="needs root"
        elif ! mount -t tmpfs -o mode=755 tooz-test "$work"; then
                why="no tmpfs can be mounted here"
        fi
}

host_install() {
        make -s -C "$builddir" install DESTDIR="$dest" 2>&1
}

# The lower layers must lie on different file systems: ours is on a tmpfs.
host_mount() {
        mkdir "$work/upper" "$work/scratch" "$work/root" &&
                mount -t overlay -o "lowerdir=$dest:/,upperdir=$work/upper,workdir=$work/scratch" tooz-test "$work/root"
}

host_overlay() {
        [ -z "$why" ] || return 1
        if ! host_mount 2>"$work/overlay.log"; then
                why="no overlay over / can be mounted here: $(head -n 1 "$work/overlay.log")"
                return 1
        fi
        root=$work/root
}

host_chroot() {
        mountpoint -q "$root/run" || {
                mount --rbind /proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" &&
                        mount -t tmpfs -o mode=755 tooz-test "$root/run" &&
                        mount -t tmpfs -o mode=1777 tooz-test "$root/dev/shm"
        } || return
        chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" 2>&1
}

# What the machine happens to run has no place in the host, and slows its boot.
host_quiet() {
        for unit in $(cd /etc/systemd/system && find . -type l -path '*.wants/*' -printf '%f\n' | sort -u) \
                getty@tty1.service console-getty.service systemd-logind.service systemd-update-utmp.service \
                systemd-journal-flush.service systemd-random-seed.service systemd-sysctl.service \
                systemd-firstboot.service systemd-machine-id-commit.service systemd-remount-fs.service \
                systemd-modules-load.service systemd-binfmt.service systemd-tmpfiles-clean.timer \
                systemd-journald-audit.socket dev-hugepages.mount sys-fs-fuse-connections.mount \
                proc-sys-fs-binfmt_misc.automount; do
                ln -sf /dev/null "$root/etc/systemd/system/$unit"
        done
        rm -f "$root/etc/systemd/system/tooz-agent.service"
        printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' \
                >"$root/etc/systemd/system/tooz-test.target"
        ln -sf tooz-test.target "$root/etc/systemd/system/default.target"
        mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system.conf.d"
        printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >"$root/etc/systemd/journald.conf.d/tooz-test.conf"
        printf '[Manager]\nShowStatus=no\n' >"$root/etc/systemd/system.conf.d/tooz-test.conf"
        echo tooz-test >"$root/etc/hostname"
        systemd-id128 new >"$root/etc/machine-id"
}

# nspawn makes groups below its own, so each host needs one to itself.
host_cgroup() {
        for top in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
                [ -e "$top/cgroup.procs" ] || continue
                mkdir "$top/tooz-test-$$" || return
                cgroups="$cgroups $top/tooz-test-$$"
        done
        [ -n "$cgroups" ]
}

host_enter_cgroup() {
        for group in $cgroups; do
                sh -c 'echo $PPID' >"$group/cgroup.procs"
        done
}

host_boot() {
        [ -z "$why" ] || return 1
        command -v systemd-nspawn >/dev/null || { why="systemd-container is not installed"; return 1; }
        host_cgroup 2>/dev/null || { why="no cgroup can be made here"; return 1; }
        host_quiet
        (
                host_enter_cgroup
                SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec setsid systemd-nspawn -q -D "$root" -M "tooz-test-$$" --boot \
                        --register=no --keep-unit --console=read-only --private-network
        ) </dev/null >"$work/console" 2>&1 &
        container=$!

        for _ in $(seq 600); do
                leader=$(tr -d ' ' <"/proc/$container/task/$container/children" 2>/dev/null) || break
                [ -z "$leader" ] || ! host_run systemctl -q is-active tooz-test.target 2>/dev/null || return 0
                sleep 0.05
        done
        why="no host can be booted here: $(tail -n 1 "$work/console")"
        return 1
}

host_run() {
        nsenter -t "$leader" -a env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# A command as a user of the host
host_run_as() {
        user=$1
        shift
        host_run setpriv "--reuid=$user" --regid=nogroup --clear-groups "$@"
}

host_halt() {
        if [ -n "$container" ]; then
                [ -z "$leader" ] || kill -9 "$leader" 2>/dev/null
                wait "$container" 2>/dev/null
                container=
        fi
        for group in $cgroups; do
                for _ in $(seq 50); do
                        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
                        [ -d "$group" ] || break
                        sleep 0.1
                done
        done
        cgroups=
}
