/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are not given inside of the call
 *
 * On a direct connection the answer of a request is held back for one turn (bus_reply_later()): the first news of its
 * claim are sent by the loop when the next turn begins, and the answer after that. So the client that wakes up for
 * the answer finds the news on its handle, instead of sleeping once more until they come. By way of a message bus the
 * answer is later than the news in any case. */

#include <errno.h>
#include <stdlib.h>

#include "base/macro.h"
#include "bus/bus-server.h"

typedef struct BusReply {
        ListLink link; /* server->replies.later, then .now */
        BusCaller *caller;
        sd_bus_message *message;
} BusReply;

void bus_reply(BusCaller *caller, sd_bus_message *reply) {
        if (caller->conn)
                bus_conn_send(caller->conn, reply);
}

void bus_reply_error(BusCaller *caller, sd_bus_message *call, BusErrorCode code, const char *text) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) bus_error_setf(&error, code, "%s", text);
        if (sd_bus_message_new_method_error(call, &reply, &error) >= 0)
                bus_reply(caller, reply);
}

int bus_reply_later(BusCaller *caller, sd_bus_message *reply) {
        BusReplies *replies = &caller->server->replies;
        BusReply *later;

        if (!caller->conn || !caller->conn->peer) {
                bus_reply(caller, reply);
                return 0;
        }
        later = calloc(1, sizeof(*later));
        if (!later)
                return -ENOMEM;
        later->caller = bus_caller_ref(caller);
        later->message = sd_bus_message_ref(reply);
        list_link_init(&later->link);
        list_append(&replies->later, &later->link);
        loop_defer_trigger(&replies->turn);
        return 0;
}

static void replies_send(List *list, bool really) {
        ListLink *link;

        while ((link = list_pop_first(list))) {
                BusReply *r = list_entry(link, BusReply, link);

                if (really)
                        bus_reply(r->caller, r->message);
                sd_bus_message_unref(r->message);
                bus_caller_unref(r->caller);
                free(r);
        }
}

/* At the end of the turn in which they came up… */
static void replies_on_turn(LoopDefer *defer) {
        BusReplies *replies = container_of(defer, BusReplies, turn);

        list_splice(&replies->now, &replies->later);
        loop_defer_trigger(&replies->send);
}

/* …and in the next one, when it has submitted what was to be sent. */
static void replies_on_send(LoopDefer *defer) {
        replies_send(&container_of(defer, BusReplies, send)->now, true);
}

void bus_replies_init(BusReplies *replies, Loop *loop) {
        list_init(&replies->later);
        list_init(&replies->now);
        loop_defer_init(&replies->turn, loop, LOOP_PHASE_PUBLISH, replies_on_turn);
        loop_defer_init(&replies->send, loop, LOOP_PHASE_DEFERRED, replies_on_send);
}

void bus_replies_deinit(BusReplies *replies) {
        loop_defer_cancel(&replies->turn);
        loop_defer_cancel(&replies->send);
        replies_send(&replies->later, false);
        replies_send(&replies->now, false);
}

bool bus_replies_are_sent(const BusReplies *replies) {
        return list_is_empty(&replies->later) && list_is_empty(&replies->now);
}
