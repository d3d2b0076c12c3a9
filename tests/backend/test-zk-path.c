/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "backend/zk-path.h"
#include "support/kit.h"

KIT_SUITE(zk_path);

#define GUID "0123456789abcdef0123456789abcdef"

static ZkRoot root_of(const char *chroot, const char *namespace_) {
        ZkRoot root;

        kit_ok(zk_root_init(&root, chroot, namespace_));
        return root;
}

Test(zk_path, roots) {
        ZkRoot root;
        static const char *const bad[] = { "tooz", "/", "", "/a/", "//a", "/a//b", "/./a", "/..", "/a\n", "/\xc3\xa4" };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                kit_fails(zk_root_init(&root, "", bad[i]), -EINVAL);
        kit_fails(zk_root_init(&root, "nope", "/tooz"), -EINVAL);
        kit_fails(zk_root_init(&root, "/nope/", "/tooz"), -EINVAL);
        kit_ok(zk_root_init(&root, "/", "/tooz"));
        kit_streq(root.dirs[ZK_DIR_LOCKS], "/tooz/locks");
        kit_ok(zk_root_init(&root, "/prod/eu", "/my/tooz"));
        kit_streq(root.dirs[ZK_DIR_LOCKS], "/prod/eu/my/tooz/locks");
        kit_streq(root.dirs[ZK_DIR_HOSTS], "/prod/eu/toozd/hosts");
        kit_streq(root.dirs[ZK_DIR_DIED], "/prod/eu/toozd/died");
}

Test(zk_path, too_long) {
        char chroot[ZK_ROOT_MAX + 2] = "/", name[ZK_PATH_SIZE], path[ZK_PATH_SIZE];
        ZkRoot root;

        memset(chroot + 1, 'a', sizeof(chroot) - 2);
        chroot[sizeof(chroot) - 1] = '\0';
        kit_fails(zk_root_init(&root, chroot, "/tooz"), -ENAMETOOLONG);

        root = root_of("", "/tooz");
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        kit_fails(zk_path(&root, ZK_DIR_LOCKS, "a", name, path), -ENAMETOOLONG);
}

Test(zk_path, compose_and_parse) {
        ZkRoot root = root_of("/c", "/tooz");
        char path[ZK_PATH_SIZE];
        const char *name, *child;
        size_t len;

        kit_ok(zk_path(&root, ZK_DIR_LOCKS, NULL, NULL, path));
        kit_streq(path, "/c/tooz/locks");
        cr_assert(!zk_path_parse(&root, ZK_DIR_LOCKS, path, &len, &name, &child));

        kit_ok(zk_path(&root, ZK_DIR_LOCKS, "backup", NULL, path));
        cr_assert(zk_path_parse(&root, ZK_DIR_LOCKS, path, &len, &name, &child));
        cr_assert(len == 6 && strncmp(name, "backup", 6) == 0 && !child);

        kit_ok(zk_path(&root, ZK_DIR_LOCKS, "backup", "x__lock__0000000001", path));
        cr_assert(zk_path_parse(&root, ZK_DIR_LOCKS, path, &len, &name, &child));
        cr_assert_eq(len, 6);
        kit_streq(child, "x__lock__0000000001");

        cr_assert(!zk_path_parse(&root, ZK_DIR_DIED, path, &len, &name, &child));
        cr_assert(!zk_path_parse(&root, ZK_DIR_LOCKS, "/c/tooz/locks/a/b/c", &len, &name, &child));
        cr_assert(!zk_path_parse(&root, ZK_DIR_LOCKS, "/c/tooz/locks//b", &len, &name, &child));
        cr_assert(!zk_path_parse(&root, ZK_DIR_LOCKS, "/c/tooz/locks/a/", &len, &name, &child));
        cr_assert(!zk_path_parse(&root, ZK_DIR_LOCKS, "/c/tooz/locksmith/a", &len, &name, &child));

        kit_ok(zk_path_host(&root, -2, ZK_ALIVE, path));
        kit_streq(path, "/c/toozd/hosts/fffffffffffffffe/alive");
}

Test(zk_path, prefixes) {
        static const size_t want[] = { 2, 7, 13, 0 };
        size_t len = 0;

        for (size_t i = 0; i < 4; i++) {
                len = zk_path_next_prefix("/c/tooz/locks", len);
                cr_assert_eq(len, want[i], "%zu", len);
        }
}

Test(zk_path, node_names) {
        char name[ZK_NODE_NAME_SIZE];

        zk_node_name(GUID, LOCK_EXCLUSIVE, -1, name);
        kit_streq(name, GUID "__lock__");
        zk_node_name(GUID, LOCK_EXCLUSIVE, 7, name);
        kit_streq(name, GUID "__lock__0000000007");
        zk_node_name(GUID, LOCK_SHARED, INT32_MAX, name);
        kit_streq(name, GUID "__r__lock__2147483647");
        cr_assert_eq(zk_node_sequence("/tooz/locks/a/" GUID "__lock__0000000042"), 42);
        cr_assert_eq(zk_node_sequence("/tooz/locks/a/" GUID "__lock__42"), -1);
        cr_assert_eq(zk_node_sequence(""), -1);
}

static void expect(const char *child, int mode, int32_t sequence) {
        Contender c = {};
        bool is = zk_contender_parse(child, &c);

        cr_assert_eq(is, mode >= 0, "%s", child);
        if (!is)
                return;
        cr_assert_eq((int) c.mode, mode, "%s: mode %d", child, (int) c.mode);
        cr_assert_eq(c.sequence, sequence, "%s: sequence %d", child, c.sequence);
        cr_assert_eq(c.name, child);
}

Test(zk_path, contenders) {
        expect(GUID "__lock__0000000012", LOCK_EXCLUSIVE, 12);
        expect(GUID "__r__lock__0000000012", LOCK_SHARED, 12);
        expect(GUID "__rlock__0000000012", LOCK_SHARED, 12);
        /* kazoo's search is not anchored at the beginning */
        expect("__lock__0000000001", LOCK_EXCLUSIVE, 1);
        expect("anything at all__lock__0000000001", LOCK_EXCLUSIVE, 1);
        /* the counter of a directory that wrapped round */
        expect("a__lock__-2147483648", LOCK_EXCLUSIVE, INT32_MIN);
        expect("a__lock__-0000000005", LOCK_EXCLUSIVE, -5);
        expect("a__lock__9999999999", LOCK_EXCLUSIVE, INT32_MAX);
        expect("a__lock__-9999999999", LOCK_EXCLUSIVE, INT32_MIN);
}

/* In doubt a contender excludes: only our own exact form is shared. */
Test(zk_path, lookalikes_exclude) {
        expect("__r__lock__0000000001", LOCK_EXCLUSIVE, 1);
        expect("x__r__lock__0000000001", LOCK_EXCLUSIVE, 1);
        expect("0123456789ABCDEF0123456789ABCDEF__r__lock__0000000001", LOCK_EXCLUSIVE, 1);
        expect("g123456789abcdef0123456789abcdef__r__lock__0000000001", LOCK_EXCLUSIVE, 1);
        expect("a" GUID "__r__lock__0000000001", LOCK_EXCLUSIVE, 1);
        expect(GUID "__r__lock__-0000000001", LOCK_SHARED, -1);
}

Test(zk_path, no_contenders) {
        static const char *const none[] = {
                "", "a", "0000000001", "__lock__", "a__lock__", "a__lock__1", "a__lock__000000001", "a__lock__00000000001",
                "a__lock__00000000a1", "a__lock__ 000000001", "a__lock__--0000000001", "a__lock_0000000001",
                "a__LOCK__0000000001", "lease-0000000001", "__lock__0000000001 ", "a__lock__+000000001",
        };

        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                expect(none[i], -1, 0);
}

Test(zk_path, break_requests) {
        cr_assert(zk_is_break_request("break-0000000001"));
        cr_assert(!zk_is_break_request("alive"));
        cr_assert(!zk_is_break_request("brea"));
}
