/* SPDX-License-Identifier: Apache-2.0 */
/* The table of errors: complete, without doubles, printable */

#include "base/str.h"
#include "bus/bus-error.h"
#include "core/lock-table.h"
#include "support/kit.h"

KIT_SUITE(bus_error);

Test(bus_error, each_row_has_a_number_and_a_text) {
        for (BusErrorCode code = 0; code < _BUS_ERROR_MAX; code++) {
                cr_assert_gt(bus_error_to_errno(code), 0);
                cr_assert(!str_is_empty(bus_error_text(code)));
        }
}

/* A client that sees the errno alone can tell the ones apart on which it decides. */
Test(bus_error, outcomes_of_a_request_have_numbers_of_their_own) {
        static const BusErrorCode codes[] = { BUS_E_WOULD_BLOCK, BUS_E_TIMED_OUT, BUS_E_CANCELED, BUS_E_DEADLOCK,
                                              BUS_E_NOT_OWNER, BUS_E_STALE_TOKEN, BUS_E_LOCK_LOST, BUS_E_NOT_CONNECTED,
                                              BUS_E_SUSPENDED, BUS_E_NOT_HELD, BUS_E_QUOTA_EXCEEDED, BUS_E_STOPPING,
                                              BUS_E_ACCESS_DENIED, BUS_E_NO_MEMORY };

        for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
                for (size_t j = 0; j < i; j++)
                        cr_assert_neq(bus_error_to_errno(codes[i]), bus_error_to_errno(codes[j]));
}

Test(bus_error, every_outcome_and_reason_is_mapped) {
        cr_assert_eq(bus_error_from_outcome(LOCK_E_WOULD_BLOCK), BUS_E_WOULD_BLOCK);
        cr_assert_eq(bus_error_from_outcome(LOCK_E_NOT_CONNECTED), BUS_E_NOT_CONNECTED);
        cr_assert_eq(bus_error_from_outcome(LOCK_E_NOT_HELD), BUS_E_NOT_HELD);
        cr_assert_eq(bus_error_from_outcome(LOCK_E_DEADLOCK), BUS_E_DEADLOCK);
        cr_assert_eq(bus_error_from_outcome(LOCK_E_STALE_TOKEN), BUS_E_STALE_TOKEN);
        cr_assert_eq(bus_error_from_outcome(LOCK_E_SUSPENDED), BUS_E_SUSPENDED);
        cr_assert_eq(bus_error_from_outcome(-ENOMEM), BUS_E_NO_MEMORY);
        for (ClaimReason reason = REASON_TIMEOUT; reason < _CLAIM_REASON_MAX; reason++)
                cr_assert_neq(bus_error_from_reason(reason), BUS_E_FAILED);
        cr_assert_eq(bus_error_from_reason(REASON_TIMEOUT), BUS_E_TIMED_OUT);
        cr_assert_eq(bus_error_from_reason(REASON_BROKEN), BUS_E_LOCK_LOST);
}

Test(bus_error, answers_of_a_backend_are_mapped) {
        cr_assert_eq(bus_error_from_errno(-ENOENT), BUS_E_NOT_HELD);
        cr_assert_eq(bus_error_from_errno(-ESTALE), BUS_E_STALE_TOKEN);
        cr_assert_eq(bus_error_from_errno(-ENOTCONN), BUS_E_NOT_CONNECTED);
        cr_assert_eq(bus_error_from_errno(-ETIMEDOUT), BUS_E_TIMED_OUT);
        cr_assert_eq(bus_error_from_errno(-EPERM), BUS_E_ACCESS_DENIED);
        cr_assert_eq(bus_error_from_errno(-EXDEV), BUS_E_FAILED);
}

static void check_message(const char *text, const char *want) {
        sd_bus_error e = SD_BUS_ERROR_NULL;

        cr_assert_eq(bus_error_setf(&e, BUS_E_BUSY, "%s", text), -EBUSY);
        kit_streq(e.name, "org.tooz.Agent1.Error.Busy");
        kit_streq(e.message, want);
        sd_bus_error_free(&e);
}

Test(bus_error, message_is_printable_utf8) {
        char big[4096];

        check_message("plain", "plain");
        check_message("two\nlines\x01", "two?lines?");
        check_message("Gr\xc3\xbc\xc3\x9f", "Gr\xc3\xbc\xc3\x9f");
        check_message("cut \xc3", "cut ");

        /* Cut in the middle of a character. */
        memset(big, 'x', sizeof(big));
        for (size_t i = 0; i + 1 < sizeof(big); i += 2)
                memcpy(big + i, "\xc3\xbc", 2);
        big[0] = 'x';
        memmove(big + 1, big + 2, sizeof(big) - 3);
        big[sizeof(big) - 2] = 0;
        {
                sd_bus_error e = SD_BUS_ERROR_NULL;

                (void) bus_error_setf(&e, BUS_E_BUSY, "%s", big);
                cr_assert(str_is_utf8(e.message, strlen(e.message)));
                cr_assert_gt(strlen(e.message), 1000);
                sd_bus_error_free(&e);
        }
}
