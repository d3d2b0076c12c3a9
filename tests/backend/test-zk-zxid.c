/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "backend/zk-zxid.h"
#include "base/fd.h"
#include "support/kit.h"

KIT_SUITE(zk_zxid);

static ZkZxid open_zxid(bool acknowledge) {
        ZkZxid z;

        kit_ok(zk_zxid_init(&z, kit_folder(), "cluster", acknowledge));
        return z;
}

static void reopen(ZkZxid *z, bool acknowledge) {
        kit_ok(zk_zxid_save(z));
        zk_zxid_deinit(z);
        *z = open_zxid(acknowledge);
}

Test(zk_zxid, survives) {
        ZkZxid z = open_zxid(false);

        cr_assert_eq(z.highest, 0);
        cr_assert_eq(zk_zxid_see(&z, INT64_C(0x300000007), true), ZK_ZXID_FINE);
        cr_assert(zk_zxid_is_unsaved(&z));
        reopen(&z, false);
        cr_assert_eq(z.highest, INT64_C(0x300000007));
        cr_assert(!zk_zxid_is_unsaved(&z));
        zk_zxid_deinit(&z);
}

Test(zk_zxid, reads_may_be_old) {
        ZkZxid z = open_zxid(false);

        cr_assert_eq(zk_zxid_see(&z, 100, true), ZK_ZXID_FINE);
        cr_assert_eq(zk_zxid_see(&z, 50, false), ZK_ZXID_FINE);
        cr_assert_eq(zk_zxid_see(&z, 0, true), ZK_ZXID_FINE);
        cr_assert_eq(z.highest, 100);
        zk_zxid_deinit(&z);
}

Test(zk_zxid, regression) {
        ZkZxid z = open_zxid(false);

        cr_assert_eq(zk_zxid_see(&z, 100, true), ZK_ZXID_FINE);
        reopen(&z, false);
        cr_assert_eq(zk_zxid_see(&z, 60, true), ZK_ZXID_REGRESSED);
        cr_assert_eq(zk_zxid_see(&z, 61, true), ZK_ZXID_FINE, "told once");
        /* a restart does not make it good */
        reopen(&z, false);
        cr_assert_eq(zk_zxid_see(&z, 62, true), ZK_ZXID_REGRESSED);
        /* the operator does */
        reopen(&z, true);
        cr_assert_eq(zk_zxid_see(&z, 63, true), ZK_ZXID_ACKNOWLEDGED);
        cr_assert_eq(zk_zxid_see(&z, 64, true), ZK_ZXID_FINE);
        cr_assert_eq(z.highest, 64);
        /* once */
        cr_assert_eq(zk_zxid_see(&z, 40, true), ZK_ZXID_REGRESSED);
        reopen(&z, true);
        cr_assert_eq(zk_zxid_see(&z, 41, true), ZK_ZXID_ACKNOWLEDGED);
        zk_zxid_deinit(&z);
}

Test(zk_zxid, same_zxid_twice) {
        ZkZxid z = open_zxid(false);

        cr_assert_eq(zk_zxid_see(&z, 100, true), ZK_ZXID_FINE);
        cr_assert_eq(zk_zxid_see(&z, 100, true), ZK_ZXID_REGRESSED);
        zk_zxid_deinit(&z);
}

Test(zk_zxid, bad_files) {
        static const char *const bad[] = { "", "junk", "ZXID=\n", "ZXID=-1\n", "ZXID=99999999999999999999\n" };
        const char *path = kit_path("zxid-cluster");
        ZkZxid z;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                kit_ok(file_write_atomic(path, bad[i], strlen(bad[i]), 0600));
                kit_fails(zk_zxid_init(&z, kit_folder(), "cluster", false), -EBADMSG);
        }
}

Test(zk_zxid, nowhere_to_keep_it) {
        ZkZxid z;

        kit_ok(zk_zxid_init(&z, NULL, "cluster", false));
        cr_assert_eq(zk_zxid_see(&z, 5, true), ZK_ZXID_FINE);
        cr_assert(!zk_zxid_is_unsaved(&z));
        cr_assert_eq(zk_zxid_see(&z, 4, true), ZK_ZXID_REGRESSED);
        zk_zxid_deinit(&z);
}
