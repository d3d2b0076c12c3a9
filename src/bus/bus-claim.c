/* SPDX-License-Identifier: Apache-2.0 */
/* Claims as clients see them: org.tooz.Agent1.Claim
 *
 * A BusClaim owns the memory of the core's Claim. It is freed when its end has been told: at once in
 * bus_server_tell_claim() when it has no handle (any more), else when the handle has sent it or was given up. Until
 * then it is charged to its owner, but from its end on it is no object on the bus any more.
 *
 * What has to be told goes out in up to three ways: as a datagram on the handle, as the answer of a call that waits
 * for it (Lock(), Convert()), and as the signal Event, to the owner's connection alone, when that was asked for. */

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

static const char *const bus_lifetime_table[_BUS_LIFETIME_MAX] = {
        [BUS_LIFETIME_HANDLE] = "handle",
        [BUS_LIFETIME_PEER] = "peer",
};
DEFINE_STRING_TABLE(bus_lifetime, BusLifetime, _BUS_LIFETIME_MAX);

BusClaim *bus_claim_of(Claim *claim) {
        BusClaim *bc = container_of(claim, BusClaim, claim);

        tooz_assert(bc->magic == BUS_CLAIM_MAGIC);
        return bc;
}

BusClaim *bus_claim_find(const BusServer *s, uint64_t id) {
        BusClaim *bc;

        hash_find(hh, s->claims, &id, sizeof(id), bc);
        return bc;
}

const char *bus_claim_path(uint64_t id, char buf[static BUS_CLAIM_PATH_SIZE]) {
        char number[24], encoded[72];

        (void) str_print(number, sizeof(number), "%ju", (uintmax_t) id);
        tooz_assert(name_encode(NAME_FORM_PATH, number, encoded, sizeof(encoded)) >= 0);
        (void) str_print(buf, BUS_CLAIM_PATH_SIZE, "%s/%s", BUS_PATH_CLAIM, encoded);
        return buf;
}

void bus_claim_names(const Claim *claim, const char **ret_domain, const char **ret_name) {
        const BusClaim *bc = container_of(claim, BusClaim, claim);

        *ret_domain = bc->domain->name;
        *ret_name = bc->name;
}

/* --- life --------------------------------------------------------------------------------------- */

BusClaim *bus_claim_free(BusClaim *bc) {
        if (!bc)
                return NULL;
        if (bc->magic == BUS_CLAIM_MAGIC) {
                handle_leave(&bc->seat);
                hash_remove(hh, bc->server->claims, bc);
                claim_deinit(&bc->claim);
        }
        list_unlink(&bc->caller_link);
        sd_bus_message_unref(bc->lock_call);
        sd_bus_message_unref(bc->convert_call);
        bus_caller_unref(bc->convert_caller);
        fd_close(bc->client_fd);
        quota_discharge(&bc->server->realm->quota, &bc->charge);
        bus_caller_unref(bc->caller);
        free(bc);
        return NULL;
}

static int claim_fill(BusClaim *bc, const BusCall *call, const LockRequest *req) {
        const ClaimOwner owner = {
                .uid = call->caller->who.uid,
                .pid = call->caller->pid,
                .unit = call->caller->unit,
                .comm = call->caller->comm,
                .description = (char *) (uintptr_t) req->description, /* copied */
        };
        int r;

        r = claim_init(&bc->claim, realm_new_claim_id(call->server->realm), req->mode, req->flags, &owner);
        if (r < 0)
                return r;

        bc->magic = BUS_CLAIM_MAGIC;
        handle_seat_init(&bc->seat, bc->claim.id);
        return hash_add(hh, call->server->claims, &bc->claim.id, sizeof(bc->claim.id), bc);
}

static int claim_alloc(BusClaim **ret, const BusCall *call, const LockRequest *req) {
        BusServer *s = call->server;
        _cleanup_(bus_claim_freep) BusClaim *bc = NULL;
        size_t len = strlen(req->name);
        int r;

        bc = calloc(1, sizeof(*bc) + len + 1);
        if (!bc)
                return -ENOMEM;
        bc->server = s;
        bc->domain = req->domain;
        bc->lifetime = req->lifetime;
        bc->signals = req->signals;
        bc->client_fd = -1;
        memcpy(bc->name, req->name, len);
        bc->caller = bus_caller_ref(call->caller);
        list_link_init(&bc->caller_link);
        list_append(&call->caller->claims, &bc->caller_link);

        r = quota_charge(&s->realm->quota, &bc->charge, call->caller->who.uid, QUOTA_CLAIMS);
        if (r == -EDQUOT)
                return bus_error_setf(call->error, BUS_E_QUOTA_EXCEEDED, "User %u has %u claims, which is the limit",
                                      (unsigned) call->caller->who.uid, s->realm->quota.limits[QUOTA_CLAIMS]);
        if (r >= 0)
                r = claim_fill(bc, call, req);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bc);
        return 0;
}

int bus_claim_new(BusClaim **ret, const BusCall *call, const LockRequest *req, int *ret_client) {
        _cleanup_(bus_claim_freep) BusClaim *bc = NULL;
        BusHandle *h;
        int r;

        *ret_client = -1;
        r = claim_alloc(&bc, call, req);
        if (r < 0)
                return r;
        if (req->handle_fd >= 0)
                r = bus_handle_find(&h, call, req->handle_fd);
        else
                r = bus_handle_new(&h, call, ret_client);
        if (r < 0)
                return r;

        handle_join(&h->handle, &bc->seat);
        *ret = TAKE_PTR(bc);
        return 0;
}

void bus_claim_end(BusClaim *bc, bool died) {
        if (bc->claim.lock)
                lock_table_release(&bc->domain->locks, &bc->claim, died, time_now(), &bc->server->realm->effects);
}

void bus_claim_drop_calls(BusClaim *bc) {
        if (!bc->lock_call)
                return;
        bc->lock_call = sd_bus_message_unref(bc->lock_call);
        bc->client_fd = fd_close(bc->client_fd);
        bus_claim_end(bc, true);
}

/* --- telling ------------------------------------------------------------------------------------ */

static void claim_grant_call(BusClaim *bc) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = TAKE_PTR(bc->lock_call), *reply = NULL;
        _cleanup_close_ int client = TAKE_FD(bc->client_fd);
        char path[BUS_CLAIM_PATH_SIZE];
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "oht", bus_claim_path(bc->claim.id, path), client, bc->claim.token);
        if (r >= 0)
                bus_reply(bc->caller, reply);
        else {
                bus_reply_error(bc->caller, call, BUS_E_NO_MEMORY, bus_error_text(BUS_E_NO_MEMORY));
                bus_claim_end(bc, false);
        }
}

/* Says who is in the way, when that is what it failed for. */
static void claim_refuse_call(BusClaim *bc, BusCaller *caller, sd_bus_message *call, BusErrorCode code) {
        char text[BUS_TEXT_SIZE];
        const Lock *lock = lock_table_find(&bc->domain->locks, bc->name);

        if (code != BUS_E_WOULD_BLOCK && code != BUS_E_TIMED_OUT)
                bus_reply_error(caller, call, code, bus_error_text(code));
        else if ((lock && lock_is_held(lock)) || (bc->domain->kind == DOMAIN_NODE && !bc->domain->locks.arena))
                bus_reply_error(caller, call, code, bus_text_conflict(text, caller, bc->domain, bc->name));
        else if (bus_query_explain(caller, call, code, bc->domain, bc->name) < 0)
                bus_reply_error(caller, call, code, bus_error_text(code));
}

static void claim_answer_lock(BusClaim *bc, unsigned news) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;

        if (!bc->lock_call)
                return;
        if (news & NEWS_ACQUIRED)
                claim_grant_call(bc);
        else if (news & NEWS_TERMINAL) {
                call = TAKE_PTR(bc->lock_call);
                bc->client_fd = fd_close(bc->client_fd);
                claim_refuse_call(bc, bc->caller, call, bus_error_from_reason(bc->claim.reason));
        }
}

static void claim_answer_convert(BusClaim *bc, unsigned news) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_(bus_caller_unrefp) BusCaller *caller = NULL;
        BusErrorCode code;

        if (!bc->convert_call || !(news & (NEWS_CONVERTED | NEWS_CONVERT_FAILED | NEWS_TERMINAL)))
                return;
        call = TAKE_PTR(bc->convert_call);
        caller = TAKE_PTR(bc->convert_caller);
        if (news & NEWS_TERMINAL)
                bus_reply_error(caller, call, BUS_E_LOCK_LOST, bus_error_text(BUS_E_LOCK_LOST));
        else if (news & NEWS_CONVERT_FAILED) {
                code = bus_error_from_reason(bc->claim.convert_reason);
                if (code == BUS_E_TIMED_OUT && bc->convert_tries)
                        code = BUS_E_WOULD_BLOCK;
                claim_refuse_call(bc, caller, call, code);
        } else if (sd_bus_message_new_method_return(call, &reply) >= 0 &&
                   sd_bus_message_append(reply, "t", bc->claim.token) >= 0)
                bus_reply(caller, reply);
}

/* The lines of the datagram as a dictionary. */
static int signal_append_details(sd_bus_message *m, const char *lines, size_t len) {
        KvReader reader;
        KvPair pair;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        kv_reader_init(&reader, lines, len);
        while (r >= 0 && kv_next(&reader, &pair) > 0) {
                char key[64], value[BUS_TEXT_SIZE];

                (void) str_print(key, sizeof(key), "%.*s", (int) pair.key_len, pair.key);
                if (kv_value_copy(&pair, value, sizeof(value)) >= 0)
                        r = sd_bus_message_append(m, "{sv}", key, "s", value);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static void claim_signal(BusClaim *bc, ClaimNews news) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char path[BUS_CLAIM_PATH_SIZE], lines[HANDLE_NEWS_MAX];
        KvWriter w = KV_WRITER(lines);
        BusConn *conn = bc->caller->conn;
        int r;

        bc->n_signals++;
        if (!conn)
                return;
        bus_claim_write(bc, news, &w);
        r = kv_finish(&w);
        if (r < 0)
                return;
        if (sd_bus_message_new_signal(conn->pump.bus, &m, bus_claim_path(bc->claim.id, path), BUS_CLAIM, "Event") < 0 ||
            sd_bus_message_append(m, "ts", bc->n_signals, handle_event_name(news)) < 0 ||
            signal_append_details(m, lines, (size_t) r) < 0)
                return;
        if (!conn->peer && sd_bus_message_set_destination(m, bc->caller->name) < 0)
                return;
        bus_conn_send(conn, m);
}

void bus_server_tell_claim(BusServer *s, Claim *claim) {
        BusClaim *bc = bus_claim_of(claim);
        unsigned news = claim_take_news(claim);

        claim_answer_lock(bc, news);
        claim_answer_convert(bc, news);
        for (unsigned bits = bc->signals ? news : 0; bits; bits &= bits - 1)
                claim_signal(bc, (ClaimNews) (bits & -bits));

        if (bc->seat.handle)
                handle_tell(&bc->seat, news, time_now());
        else if (claim_is_terminal(claim) && !effect_is_pending(&claim->effect))
                bus_claim_free(bc);
}
