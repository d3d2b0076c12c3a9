/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of the handle */

#include <errno.h>

#include "client/event.h"
#include "support/kit.h"

KIT_SUITE(event);

static Event *parse(const char *text) {
        Event *e;

        kit_ok(event_parse(&e, text, strlen(text)));
        return e;
}

static int refusal(const char *text, size_t len) {
        Event *e = NULL;
        int r = event_parse(&e, text, len);

        (void) event_free(e);
        return r;
}

Test(event, takes_all_that_it_knows) {
        Event *e = parse("EVENT=acquired\nCLAIM=7\nSEQ=3\nBOOTTIME_USEC=99\nTOKEN=18446744073709551615\nPREVIOUS=died\n"
                         "EPOCH=4\nMISSED=2\nMODE=shared\n");

        cr_assert_eq(e->kind, EVENT_ACQUIRED);
        cr_assert_eq(e->claim_id, 7);
        cr_assert_eq(e->sequence, 3);
        cr_assert_eq(e->boottime_usec, 99);
        cr_assert_eq(e->token, UINT64_MAX);
        cr_assert_eq(e->previous, TOOZ_PREVIOUS_DIED);
        cr_assert_eq(e->epoch, 4);
        cr_assert_eq(e->missed, 2);
        cr_assert(e->has_mode && e->mode == TOOZ_LOCK_SHARED);
        kit_streq(e->name, "acquired");
        kit_streq(e->reason, "");
        kit_streq(e->fields[0], "EVENT=acquired");
        kit_streq(e->fields[8], "MODE=shared");
        cr_assert_null(e->fields[9]);
        (void) event_free(e);
}

Test(event, order_and_the_last_newline_do_not_matter) {
        Event *e = parse("REASON=a=b c\n\nCLAIM=1\nEVENT=lost");

        cr_assert_eq(e->kind, EVENT_LOST);
        kit_streq(e->reason, "a=b c");
        cr_assert(event_is_final(e));
        (void) event_free(e);
}

Test(event, what_is_new_is_passed_on) {
        Event *e = parse("EVENT=moonrise\nCLAIM=1\nPHASE=full\nPREVIOUS=eaten\nMODE=upside-down\n");

        cr_assert_eq(e->kind, EVENT_OTHER);
        kit_streq(e->name, "moonrise");
        kit_streq(e->fields[2], "PHASE=full");
        cr_assert_eq(e->previous, TOOZ_PREVIOUS_UNKNOWN);
        cr_assert_not(e->has_mode);
        cr_assert_not(event_is_final(e));
        (void) event_free(e);
}

Test(event, more_fields_than_are_kept) {
        char text[1024] = "EVENT=queued\nCLAIM=1\n";
        Event *e;

        for (int i = 0; i < 2 * EVENT_FIELDS_MAX; i++)
                strcat(text, "X=1\n");
        strcat(text, "POSITION=5\n");
        e = parse(text);
        cr_assert_eq(e->position, 5);
        cr_assert_not_null(e->fields[EVENT_FIELDS_MAX - 1]);
        cr_assert_null(e->fields[EVENT_FIELDS_MAX]);
        (void) event_free(e);
}

Test(event, what_is_no_event_is_refused) {
        static const char *const bad[] = {
                "", "\n", "EVENT=lost\n", "CLAIM=1\n", "EVENT=lost\nCLAIM=0\n", "EVENT=\nCLAIM=1\n",
                "EVENT=lost\nCLAIM=-1\n", "EVENT=lost\nCLAIM=1x\n", "EVENT=lost\nCLAIM=\n", "EVENT=lost\nCLAIM=1\nTOKEN=no\n",
                "EVENT=lost\nCLAIM=18446744073709551616\n", "EVENT=lost\nCLAIM=1\nnonsense\n", "event=lost\nCLAIM=1\n",
                "EVENT=lost\nCLAIM=1\n=x\n", "EVENT=lo\xffst\nCLAIM=1\n",
        };
        static char big[EVENT_SIZE_MAX + 1];

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                cr_assert_eq(refusal(bad[i], strlen(bad[i])), -EBADMSG, "%s", bad[i]);
        kit_fails(refusal("EVENT=lost\nCLAIM=1\n\0\n", 21), -EBADMSG);
        /* A datagram that was cut: its length is told, its rest is not there. */
        memset(big, '\n', sizeof(big));
        memcpy(big, "EVENT=lost\nCLAIM=1\n", 19);
        kit_ok(refusal(big, EVENT_SIZE_MAX));
        kit_fails(refusal(big, sizeof(big)), -EBADMSG);
}

Test(event, made_events_read_like_others) {
        Event *e;

        kit_ok(event_make(&e, 9, EVENT_LOST, "deadline", 1234));
        cr_assert_eq(e->kind, EVENT_LOST);
        cr_assert_eq(e->claim_id, 9);
        cr_assert_eq(e->boottime_usec, 1234);
        kit_streq(e->reason, "deadline");
        (void) event_free(e);
}

#define ROUND_TRIP(name, Type, MAX)                                                      \
        do {                                                                             \
                for (int i = 0; i < (MAX); i++)                                          \
                        cr_assert_eq(name##_from_string(name##_to_string((Type) i)), i); \
                cr_assert_null(name##_to_string((Type) (MAX)));                          \
                kit_fails(name##_from_string("no such name"), -EINVAL);                  \
        } while (0)

Test(event, tables_round_trip) {
        ROUND_TRIP(event_kind, EventKind, _EVENT_KIND_MAX);
        ROUND_TRIP(tooz_claim_state, tooz_claim_state, _TOOZ_CLAIM_STATE_MAX);
        ROUND_TRIP(tooz_previous, tooz_previous, _TOOZ_PREVIOUS_MAX);
        ROUND_TRIP(tooz_lock_mode, tooz_lock_mode, _TOOZ_LOCK_MODE_MAX);
}
