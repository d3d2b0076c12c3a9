/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "backend/zk-data.h"
#include "base/kv.h"
#include "base/random.h"
#include "base/str.h"
#include "support/kit.h"

KIT_SUITE(zk_data);

static void claim_of(const ClaimOwner *owner, Claim *ret) {
        kit_ok(claim_init(ret, 1, LOCK_EXCLUSIVE, 0, owner));
}

Test(zk_data, node_round_trip) {
        const ClaimOwner owner = { .uid = 1000, .pid = 4711, .unit = (char *) "backup.service", .comm = (char *) "sh",
                                   .description = (char *) "n\xc3\xa4" "chtlich" };
        char data[ZK_DATA_SIZE];
        OwnerInfo o = {};
        Claim claim;
        size_t len;

        claim_of(&owner, &claim);
        len = zk_data_write_node(data, "alpha", &claim, 123456);
        kit_ok(zk_data_read_node(data, len, &o));
        cr_assert(!o.foreign);
        kit_streq(o.host, "alpha");
        kit_streq(o.unit, "backup.service");
        kit_streq(o.comm, "sh");
        kit_streq(o.description, "n\xc3\xa4" "chtlich");
        cr_assert(o.pid == 4711 && o.uid == 1000 && o.since_realtime_usec == 123456);
        owner_info_done(&o);
        claim_deinit(&claim);
}

/* Whatever the owner's strings are, the data is UTF-8, one line a key, and fits. */
Test(zk_data, node_of_hostile_owner) {
        char unit[5000], description[5000], host[5000], data[ZK_DATA_SIZE];
        const ClaimOwner owner = { .uid = UINT32_MAX, .pid = INT32_MAX, .unit = unit, .comm = (char *) "a\nPID=1\x01\xff",
                                   .description = description };
        OwnerInfo o = {};
        Claim claim;
        size_t len;

        memset(unit, 'u', sizeof(unit) - 1);
        unit[sizeof(unit) - 1] = '\0';
        memset(host, '\n', sizeof(host) - 1);
        host[sizeof(host) - 1] = '\0';
        for (size_t i = 0; i + 2 < sizeof(description); i += 2)
                memcpy(description + i, "\xc3\xa4", 3);
        claim_of(&owner, &claim);
        len = zk_data_write_node(data, host, &claim, UINT64_MAX);
        cr_assert(len > 0 && len < ZK_DATA_SIZE);
        cr_assert(str_is_utf8(data, len));
        kit_ok(zk_data_read_node(data, len, &o));
        cr_assert_eq(o.pid, INT32_MAX);
        cr_assert_eq(o.uid, UINT32_MAX);
        kit_streq(o.comm, "a?PID=1??");
        cr_assert_eq(strlen(o.unit), 255);
        cr_assert(str_is_utf8(o.description, strlen(o.description)) && strlen(o.description) > 200);
        owner_info_done(&o);
        claim_deinit(&claim);
}

Test(zk_data, node_without_claim) {
        char data[ZK_DATA_SIZE];
        OwnerInfo o = {};
        size_t len = zk_data_write_node(data, "", NULL, 0);

        cr_assert_gt(len, 0, "node data is never empty");
        kit_ok(zk_data_read_node(data, len, &o));
        cr_assert(!o.foreign && !o.host);
}

static void expect_foreign(const char *data, size_t len, const char *description) {
        OwnerInfo o = {};

        kit_ok(zk_data_read_node(data, len, &o));
        cr_assert(o.foreign);
        if (description)
                kit_streq(o.description, description);
        else
                cr_assert_null(o.description);
        owner_info_done(&o);
}

Test(zk_data, foreign_nodes) {
        char large[100000];

        memset(large, 'x', sizeof(large));
        expect_foreign("", 0, NULL);
        expect_foreign("worker-7", 8, "worker-7");
        expect_foreign("h\xc3\xa4", 3, "h\xc3\xa4");
        expect_foreign("\xff\xfe", 2, NULL);
        expect_foreign("a\nb", 3, NULL);
        expect_foreign("a\0b", 3, NULL);
        expect_foreign("\x1b[31mred", 8, NULL);
        expect_foreign(large, sizeof(large), NULL);
        expect_foreign("AGENT=other\n", 12, NULL);
        expect_foreign("HOST=h\n", 7, NULL);
}

Test(zk_data, hostile_values_are_left_out) {
        static const char data[] = "AGENT=tooz\nPID=99999999999\nUID=-1\nHOST=\xff\nSINCE_REALTIME_USEC=x\nCOMM=ok\n";
        OwnerInfo o = {};

        kit_ok(zk_data_read_node(data, sizeof(data) - 1, &o));
        cr_assert(!o.foreign && o.pid == 0 && o.uid == 0 && !o.host && o.since_realtime_usec == 0);
        kit_streq(o.comm, "ok");
        owner_info_done(&o);
}

Test(zk_data, break_round_trip) {
        char data[ZK_DATA_SIZE];
        ZkBreakRequest b;
        int len = kit_ok(zk_data_write_break(data, "backup", UINT64_MAX, 1000, "alpha"));

        kit_ok(zk_data_read_break(data, (size_t) len, &b));
        kit_streq(b.lock, "backup");
        kit_streq(b.by, "1000@alpha");
        cr_assert_eq(b.token, UINT64_MAX);
        zk_break_request_done(&b);
        cr_assert_eq(zk_data_read_answer(data, (size_t) len), 0);
        kit_fails(zk_data_write_break(data, "a\nb", 1, 0, "h"), -EINVAL);
}

Test(zk_data, bad_breaks) {
        static const char *const bad[] = { "", "LOCK=a\n", "TOKEN=1\n", "TOKEN=1\nLOCK=\n", "TOKEN=x\nLOCK=a\n", "junk" };
        char data[ZK_DATA_SIZE];
        ZkBreakRequest b;
        size_t len;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                kit_fails(zk_data_read_break(bad[i], strlen(bad[i]), &b), -EBADMSG);
        len = zk_data_write_answer(data, -ESTALE);
        kit_fails(zk_data_read_break(data, len, &b), -EALREADY);
        cr_assert_eq(zk_data_read_answer(data, len), -ESTALE);
        len = zk_data_write_answer(data, -ENOENT);
        cr_assert_eq(zk_data_read_answer(data, len), -ENOENT);
}

Test(zk_data, died) {
        char data[ZK_DATA_SIZE];
        size_t len = zk_data_write_died(data, INT64_C(0x100000002));

        cr_assert_eq(zk_data_read_died(data, len), INT64_C(0x100000002));
        cr_assert_eq(zk_data_read_died("", 0), 0);
        cr_assert_eq(zk_data_read_died(NULL, 0), 0);
        cr_assert_eq(zk_data_read_died("-1", 2), 0);
        cr_assert_eq(zk_data_read_died("99999999999999999999", 20), 0);
        cr_assert_eq(zk_data_read_died("12x", 3), 0);
}

/* No input crashes the readers. */
Test(zk_data, noise) {
        static const char alphabet[] = "AGENT=tozLCKRSUPIDB\n0129\xc3\xa4\x00\xff";
        char data[200];
        Prng prng;

        prng_init(&prng, kit_seed());
        for (unsigned i = 0; i < 20000; i++) {
                size_t len = prng_below(&prng, sizeof(data));
                OwnerInfo o = {};
                ZkBreakRequest b;

                for (size_t k = 0; k < len; k++)
                        data[k] = alphabet[prng_below(&prng, sizeof(alphabet))];
                if (len > 11 && prng_chance(&prng, 1, 2))
                        memcpy(data, "AGENT=tooz\n", 11);
                kit_ok(zk_data_read_node(data, len, &o));
                owner_info_done(&o);
                if (zk_data_read_break(data, len, &b) >= 0)
                        zk_break_request_done(&b);
                (void) zk_data_read_answer(data, len);
                (void) zk_data_read_died(data, len);
        }
}

Test(zk_data, log_lines) {
        char detail[ZK_DETAIL_SIZE];

        zk_data_log_detail(detail, "2026-11-23 05:04:03,123:77(0x7f):ZOO_ERROR@handle_socket_error_msg@2042: Socket "
                                   "127.0.0.1:2181 zk retcode=-4, errno=111(Connection refused): server refused to accept "
                                   "the client");
        kit_streq(detail, "127.0.0.1:2181: Connection refused");
        zk_data_log_detail(detail, "t:1(0x1):ZOO_ERROR@f@1: something else");
        kit_streq(detail, "something else");
        zk_data_log_detail(detail, "t:1(0x1):ZOO_WARN@f@1: Exceeded deadline");
        kit_streq(detail, "");
        zk_data_log_detail(detail, "junk");
        kit_streq(detail, "");
        kit_streq(zk_data_log_message("t:1(0x1):ZOO_WARN@f@1: x"), "ZOO_WARN@f@1: x");
}
