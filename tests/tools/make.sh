#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the targets of the top GNUmakefile do: packages, bootstrap, configure and build out of tree, stages of
# tests with their times, and the sum of all results.
#
# Each stage is quiet: its output goes to build/logs/, and its end is shown when it fails.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 1

# Flags of the make that called us, its job server above all, are not for those that we call.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
jobs=${JOBS:-$(nproc)}
logs=$top/build/logs
units='tests/(base|shm|local|loop|core|backend|bus|agent|client|ctl)/'
# Those of them that the loop makes no difference to
loopless='tests/(base|shm|local|core)/'
# Locks in shared memory under every schedule and kill: once, in the build that is installed.
killers='tests/model/|tests/local/test-(damaged|kill|scribble|step|tsan)$|tests/local/test-tsan.sh$'
checks='tests/tools/'
# Runs other tests on a build with the switches of the bugs that they must see.
seeded=tests/system/test-seeded-bugs.py
# System tests start servers and wait for sessions to end: two at a time keep their clocks honest.
system_jobs=${SYSTEM_JOBS:-$((jobs < 2 ? jobs : 2))}
passed=0 failed=0 skipped=0

say() {
        printf '%s\n' "$*"
}

# --- packages ------------------------------------------------------------------------------------

# packages GROUP..: the names
packages() {
        local group
        for group; do sed -n "s/^$group: //p" tests/tools/packages.txt; done | tr ' ' '\n' | sort -u
}

missing_packages() {
        local name
        packages "$@" | while read -r name; do
                [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
        done
}

apt_install() {
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# The lists of packages may be absent or stale: then the first attempt fails.
install_packages() {
        apt_install "$@" || { apt-get update && apt_install "$@"; }
}

need_packages() {
        local missing
        if ! command -v dpkg-query >/dev/null; then
                say "Not a Debian system: needed are the equivalents of" "$(packages "$@" | tr '\n' ' ')"
                return
        fi
        missing=$(missing_packages "$@" | tr '\n' ' ')
        [ -n "$missing" ] || return 0
        if [ "$(id -u)" != 0 ]; then
                say "Packages are missing. As root:"
                say "        apt-get install --no-install-recommends ${missing% }"
                exit 1
        fi
        say "missing packages: ${missing% }"
        # shellcheck disable=SC2086  # a list
        stage "install them" install_packages $missing || exit 1
}

# --- stages --------------------------------------------------------------------------------------

# timed NAME COMMAND..: quiet; the output goes to a log, whose name is left in $log
timed() {
        local name=$1 started=$SECONDS status=0
        shift
        mkdir -p "$logs"
        log=$logs/$(printf %.40s "$name" | tr -c 'A-Za-z0-9\n' -).log
        printf '%-66s ' "$name"
        "$@" >"$log" 2>&1 </dev/null || status=$?
        say "$((SECONDS - started)) s"
        return $status
}

# stage NAME COMMAND..: must succeed; else the end of the log is shown
stage() {
        timed "$@" && return
        say "FAILED:"
        tail -n 40 "$log" | sed 's/^/    | /'
        say "    in $log"
        return 1
}

bootstrap() {
        ./bootstrap
}

# configure FOLDER FLAG..: again when the flags or the packages behind the features have changed
configure() {
        local folder=$1 want
        shift
        want="$* $(packages build test | xargs dpkg-query -W -f '${Package}=${Version} ' 2>/dev/null)"
        if [ -e "$folder/config.status" ] && [ configure -ot "$folder/config.status" ] &&
                [ "$want" = "$(cat "$folder/.configured" 2>/dev/null)" ]; then
                return
        fi
        mkdir -p "$folder"
        (cd "$folder" && "$top/configure" -q "$@") || return
        printf '%s\n' "$want" >"$folder/.configured"
}

# Where a Debian package would put things: what is installed is found by systemd and the bus.
system_folders() {
        local triplet
        triplet=$(${CC:-gcc} -print-multiarch 2>/dev/null || :)
        echo --prefix=/usr --sysconfdir=/etc --localstatedir=/var "--libdir=/usr/lib${triplet:+/$triplet}"
}

# build FOLDER FLAG..
build() {
        local folder=$1
        shift
        if [ -e config.status ]; then
                say "This tree is configured in itself, and automake then refuses any other build: make distclean"
                return 1
        fi
        if [ ! -e configure ] || [ configure.ac -nt configure ]; then
                stage "bootstrap" bootstrap || return
        fi
        # shellcheck disable=SC2046,SC2086  # flags are words
        stage "configure in $folder/" configure "$folder" $(system_folders) "$@" ${CONFIGURE_FLAGS:-} || return
        stage "build in $folder/" make -C "$folder" -j"$jobs" all
}

# The demo is for those who see us for the first time: a warning of a new compiler must not stop it.
build_demo() {
        if [ -e build/config.status ]; then
                stage "build in build/" make -C build -j"$jobs" all
        else
                build build
        fi
}

# --- results -------------------------------------------------------------------------------------

# tests FOLDER PATTERN: names of the tests of a build that match
tests() {
        make -s -C "$1" print-tests | tr ' ' '\n' | grep -E "^($2)" | tr '\n' ' '
}

without() {
        sed "s|\($1\) ||"
}

# units FOLDER: without those that kill
units() {
        make -s -C "$1" print-tests | tr ' ' '\n' | grep -E "^($units)" | grep -vE "^($killers)" | tr '\n' ' '
}

units_with_loop() {
        units "$1" | tr ' ' '\n' | grep -vE "^($loopless)" | tr '\n' ' '
}

# The quick half of the system tests.
smoke() {
        sed -e '/^#/d' -e '/^$/d' -e 's|^|tests/system/|' tests/system/smoke | tr '\n' ' '
}

# trs FOLDER TEST..: where automake leaves the results of a test
trs() {
        local folder=$1 name
        shift
        for name; do echo "$folder/$(echo "$name" | sed -E 's/\.(sh|py)$//').trs"; done
}

# results FOLDER TEST..: how many passed, failed, were skipped. A program that fails also ends with an error:
# that counts once.
results() {
        trs "$@" | xargs awk '
                FNR == 1 { error += !fail && errors; fail = errors = 0 }
                /^:test-result: (PASS|XFAIL)/ { pass++ }
                /^:test-result: SKIP/ { skip++ }
                /^:test-result: (FAIL|XPASS)/ { fail = 1; bad++ }
                /^:test-result: ERROR/ { errors = 1 }
                END { print pass + 0, bad + error + (!fail && errors), skip + 0 }' 2>/dev/null
}

# What the failed tests said, without what went well, and not all of it.
complaints() {
        local file=$1/test-suite.log
        sed -n '/^\.\. contents/,$p' "$file" | sed 1d | grep -vE '^(ok |PASS:|SKIP:|$|# [0-9.]+ s$|[0-9.]+$)' >"$file.short"
        head -n 120 "$file.short" | cut -c 1-200 | sed 's/^/    | /'
        [ "$(wc -l <"$file.short")" -le 120 ] || say "    | … and so on in ${file#"$top/"}"
        rm -f "$file.short"
}

# A stage that ran nothing has failed, and so has one that make says has failed.
count() {
        local folder=$1 status=$2 good bad away
        shift 2
        read -r good bad away <<<"$(results "$folder" "$@")"
        if [ "${bad:=0}" = 0 ] && { [ "$status" != 0 ] || [ "${good:=0}" = 0 ]; }; then
                bad=1
                tail -n 40 "$log" | sed 's/^/    | /'
        fi
        passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + ${away:=0}))
        grep -E '^(FAIL|XPASS|ERROR|SKIP): ' "$log" | sed 's/^/    /'
        [ "$bad" = 0 ] || complaints "$folder"
        say "    $good passed, $bad failed, $away skipped"
}

# run NAME FOLDER JOBS TESTS [VARIABLE=VALUE..]: a stage of tests, and what came out of it
run() {
        local name=$1 folder=$2 parallel=$3 list status=0
        read -ra list <<<"$4"
        shift 4
        trs "$folder" "${list[@]}" | xargs rm -f
        timed "$name" env "$@" make -C "$folder" -j"$parallel" check TESTS="${list[*]}" || status=$?
        count "$folder" $status "${list[@]}"
}

# A build that fails leaves nothing to test.
finish_without_build() {
        say "total $((SECONDS / 60)) min $((SECONDS % 60)) s"
        say "$passed passed, $((failed + 1)) failed"
        exit 1
}

# The last line is read by machines.
finish() {
        say "total $((SECONDS / 60)) min $((SECONDS % 60)) s, $skipped skipped"
        say "$passed passed, $failed failed"
        [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
        exit
}

# ready_in FOLDER FLAG..: built, tests too
ready_in() {
        local folder=$1
        shift
        if ! build "$folder" "$@" || ! stage "build tests in $folder/" make -C "$folder" -j"$jobs" check TESTS=; then
                finish_without_build
        fi
}

ready() {
        need_packages build test zookeeper
        ready_in build --enable-werror
}

# One build for what must find bugs: sanitizers, and the switches of the seeded ones.
ready_asan() {
        ready_in build-asan --enable-werror --enable-sanitizers --enable-seeded-bugs
}

# --- targets -------------------------------------------------------------------------------------

target_all() {
        need_packages build
        build_demo
}

target_demo() {
        need_packages build demo ${ZOOKEEPER:+zookeeper}
        build_demo || exit
        [ -n "${ZOOKEEPER:-}" ] || unset ZOOKEEPER
        srcdir=$top builddir=$top/build exec examples/demo
}

target_check() {
        ready
        run "check" build "$jobs" "${TESTS:-$(tests build .)}"
        finish
}

target_test() {
        ready
        run "checks of the house" build "$jobs" "$(tests build "$checks")"
        run "units on io_uring" build "$jobs" "$(units build)"
        run "locks in shared memory: every schedule, kills" build "$jobs" "$(tests build "$killers")"
        run "system on io_uring" build "$system_jobs" "$(tests build tests/system/ | without "$seeded")"
        run "units on epoll" build "$jobs" "$(units_with_loop build)" TOOZ_LOOP=epoll
        run "system smoke on epoll" build "$system_jobs" "$(smoke)" TOOZ_LOOP=epoll
        ready_asan
        run "units with sanitizers" build-asan "$jobs" "$(units build-asan)"
        run "fuzzers with sanitizers" build-asan "$jobs" "$(tests build-asan tests/fuzz/)" FUZZ_SECONDS=10
        run "system smoke with sanitizers" build-asan "$system_jobs" "$(smoke)"
        run "seeded bugs are seen" build-asan 1 "$seeded"
        finish
}

target_check_long() {
        ready
        run "everything on io_uring" build "$system_jobs" "$(tests build .)"
        run "everything on epoll" build "$system_jobs" "$(units_with_loop build) $(tests build tests/system/)" TOOZ_LOOP=epoll
        stage "10,000 kills" build/tests/local/test-kill --kills 10000 || failed=$((failed + 1))
        stage "a kill at every instruction" build/tests/local/test-step --long || failed=$((failed + 1))
        stage "every schedule, longer" build/tests/model/check-model --long || failed=$((failed + 1))
        ready_asan
        run "everything with sanitizers" build-asan "$system_jobs" "$(units build-asan) $(tests build-asan tests/system/)"
        finish
}

target_check_model() {
        ready
        run "every schedule" build "$jobs" "$(tests build tests/model/)"
        finish
}

target_check_sanitize() {
        need_packages build test zookeeper
        ready_asan
        run "everything with sanitizers" build-asan "$system_jobs" "$(units build-asan) $(tests build-asan tests/system/)"
        finish
}

target_check_style() {
        ready
        run "checks of the house" build "$jobs" "$(tests build "$checks")"
        finish
}

target_fuzz() {
        need_packages build test zookeeper
        ready_asan
        run "fuzzers" build-asan 1 "$(tests build-asan tests/fuzz/)" "FUZZ_SECONDS=${FUZZ_SECONDS:-60}"
        finish
}

target_coverage() {
        need_packages build test zookeeper coverage
        ready_in build-coverage --enable-coverage
        find build-coverage -name '*.gcda' -delete
        run "units" build-coverage "$jobs" "$(units build-coverage)"
        run "system" build-coverage "$system_jobs" "$(tests build-coverage tests/system/)"
        gcovr --root . --filter src/ build-coverage --print-summary --html-details build-coverage/coverage.html
        say "pages: build-coverage/coverage.html"
        finish
}

target_bench() {
        need_packages build test zookeeper bench >&2
        build build --enable-werror >&2 || exit
        make -s -C build bench
}

# The archive builds and passes its units in an empty folder.
target_dist() {
        ready
        stage "archive, built and tested on its own" make -C build -j"$jobs" distcheck \
                TESTS="$(units build) $(tests build "$checks")" || exit
        ls build/tooz-*.tar.xz
}

target_install() {
        need_packages build
        build_demo || exit
        stage "install${DESTDIR:+ in $DESTDIR}" make -C build install DESTDIR="${DESTDIR:-}"
}

target_clean() {
        rm -rf build build-asan build-coverage
}

case ${1:-} in
all | demo | test | check | check-long | check-model | check-sanitize | check-style | fuzz | coverage | bench | dist | install | clean)
        "target_${1//-/_}"
        ;;
*)
        say "make.sh: no target \"${1:-}\"" >&2
        exit 2
        ;;
esac
