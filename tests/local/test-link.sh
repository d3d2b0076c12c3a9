#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libtoozlocal for those who build with it: it needs libc alone, its header is C and C++, programs link and run with
# what its .pc file says, and it can be built where there is neither systemd nor ZooKeeper.
set -eu
srcdir=${srcdir:-.}
builddir=${builddir:-build}
. "$srcdir/tests/tools/tap.sh"
srcdir=$(cd "$srcdir" && pwd)
builddir=$(cd "$builddir" && pwd)
libs=$builddir/src/.libs
lib=$libs/libtoozlocal.so
cc=${CC:-cc}
cxx=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -e "$lib" ] || skip_all "libtoozlocal.so is not built here"

# --- the file ---------------------------------------------------------------------------------------

# needed LIBRARY
needed() {
        readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# A program that links a library with sanitizers needs them too.
sanitize=
if needed "$lib" | grep -qE '^lib[at]san'; then sanitize=-fsanitize=address,undefined; fi

loaded() {
        ldd "$lib" | awk '{ print $1 }' | grep -vE '^(linux-vdso|libc)\.so|/ld-linux|^/lib.*/ld-' || :
}

# has FLAG of the dynamic section
has() {
        readelf -d "$lib" | grep -q "$1" || echo "no $1"
}

file_checks() {
        check "needs libc alone" "$(needed "$lib" | grep -vE '^(libc\.so|ld-linux|lib(a|ub|t|l)san)' || :)"
        if [ -n "$sanitize" ]; then
                skip "loads libc alone" "built with sanitizers"
        else
                check "loads libc alone" "$(loaded)"
        fi
        check "its name" "$(has 'SONAME.*\[libtoozlocal\.so\.0\]')"
        check "stays loaded" "$(has NODELETE)"
        check "no relocations in its text" "$(readelf -d "$lib" | grep TEXTREL || :)"
}

# --- programs ---------------------------------------------------------------------------------------

# flags: of the .pc file, as if all were installed
flags() {
        pc=$builddir/src/local/libtoozlocal.pc
        if command -v pkg-config >/dev/null; then
                PKG_CONFIG_PATH=${pc%/*} pkg-config --define-variable=libdir="$libs" \
                        --define-variable=includedir="$srcdir/include" --cflags --libs libtoozlocal
        else
                sed -n 's/^\(Libs\|Cflags\): //p' "$pc" |
                        sed -e "s|\${libdir}|$libs|" -e "s|\${includedir}|$srcdir/include|"
        fi
}

write_program() {
        cat >"$work/program.c" <<'EOF'
#include <stdio.h>
#include <string.h>
#include <tooz/tooz-local.h>
#include <unistd.h>

static int hold(tooz_local_arena *arena, char *argv[]) {
        tooz_local_lock *lock;
        uint64_t token = 0;
        int r;

        r = tooz_local_lock_open(&lock, arena, "name", 0);
        if (r >= 0)
                r = tooz_local_lock_acquire(lock, TOOZ_LOCK_EXCLUSIVE, TOOZ_USEC_INFINITY);
        if (r >= 0 && strcmp(argv[2], "exec") == 0) {
                char again[] = "try";
                char *args[] = { argv[0], argv[1], again, NULL };

                (void) execv(argv[0], args);
                return 1;
        }
        printf("%d\n", r);
        if (r < 0 || tooz_local_lock_get_token(lock, &token) < 0 || token == 0)
                return 1;
        r = tooz_local_lock_release(lock);
        tooz_local_lock_unref(lock);
        return r;
}

int main(int argc, char *argv[]) {
        tooz_local_arena *arena;
        int r;

        if (argc != 3 || tooz_local_arena_open(&arena, argv[1], 0600, TOOZ_LOCAL_ARENA_CREATE) < 0)
                return 1;
        r = hold(arena, argv);
        tooz_local_arena_unref(arena);
        return r < 0 ? 1 : r;
}
EOF
        cat >"$work/load.c" <<'EOF'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <tooz/tooz-local.h>

#define FUNCTION(name) __typeof__(name) *f_##name = (__typeof__(name) *) dlsym(library, #name)

static void *library;
static const char *path;

/* Its destructor runs when the library has been closed. */
static void *use(void *result) {
        FUNCTION(tooz_local_arena_open);
        FUNCTION(tooz_local_lock_open);
        FUNCTION(tooz_local_lock_acquire);
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        int *r = (int *) result;

        *r = f_tooz_local_arena_open(&arena, path, 0600, TOOZ_LOCAL_ARENA_CREATE);
        if (*r >= 0)
                *r = f_tooz_local_lock_open(&lock, arena, "loaded", 0);
        if (*r >= 0)
                *r = f_tooz_local_lock_acquire(lock, TOOZ_LOCK_EXCLUSIVE, 0);
        (void) dlclose(library);
        return NULL;
}

int main(int argc, char *argv[]) {
        pthread_t thread;
        int r = -1;

        path = argv[1];
        library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
        if (!library || pthread_create(&thread, NULL, use, &r) != 0 || pthread_join(thread, NULL) != 0)
                return 1;
        printf("%d\n", r);
        return 0;
}
EOF
}

# build COMPILER STANDARD LANGUAGE: the small program; says nothing when all is well
build() {
        # shellcheck disable=SC2046,SC2086  # flags are words
        "$1" -std="$2" -x "$3" -Wall -Wextra -pedantic -Werror -D_GNU_SOURCE $sanitize "$work/program.c" -x none \
                -o "$work/program" $(flags) 2>&1
}

# run PROGRAM ARG..: the last line of what it says; leaks are not its business here
run() {
        LD_LIBRARY_PATH=$libs ASAN_OPTIONS=detect_leaks=0 "$@" 2>&1 || echo "exit $?"
}

# same WANTED GOT
same() {
        [ "$1" = "$2" ] || echo "\"$2\", not \"$1\""
}

programs() {
        write_program
        for standard in c99 c11 gnu17; do
                check "a program in $standard" "$(build "$cc" $standard c)"
        done
        check "it runs" "$(same 0 "$(run "$work/program" "$work/arena" hold)")"
        check "exec() gives a lock to the next" "$(same 1 "$(run "$work/program" "$work/arena" exec)")"
        if command -v "$cxx" >/dev/null; then
                for standard in c++11 c++17 c++20; do
                        check "a program in $standard" "$(build "$cxx" $standard c++)"
                done
                check "it runs" "$(same 1 "$(run "$work/program" "$work/arena" hold)")"
        else
                skip "a program in C++" "no C++ compiler"
        fi
        check "a program that loads it" "$("$cc" -std=gnu11 -Wall -Wextra -pthread -I"$srcdir/include" $sanitize \
                -Wno-unused-parameter "$work/load.c" -o "$work/load" -ldl 2>&1)"
        check "it closes it while it is used" "$(same 0 "$(run "$work/load" "$work/arena" "$lib")")"
}

# --- built alone ------------------------------------------------------------------------------------

# The generated files are those of the tree: nothing is made anew in it.
alone() {
        mkdir "$work/alone"
        cd "$work/alone"
        "$srcdir/configure" --quiet --without-systemd --without-zookeeper >"$work/log" 2>&1 || {
                echo "configure fails"
                tail -n 20 "$work/log"
                return
        }
        make AUTOCONF=: AUTOMAKE=: ACLOCAL=: AUTOHEADER=: src/libtoozlocal.la >"$work/log" 2>&1 || {
                echo "make fails"
                tail -n 20 "$work/log"
                return
        }
        [ -e src/.libs/libtoozlocal.so ] || echo "no library"
        needed src/.libs/libtoozlocal.so | grep -vE '^(libc\.so|ld-linux)' || :
}

file_checks
programs
if [ -x "$srcdir/configure" ]; then
        check "built without systemd and ZooKeeper" "$(alone)"
else
        skip "built without systemd and ZooKeeper" "no configure in this tree"
fi
tap_done
