/* SPDX-License-Identifier: Apache-2.0 */
/* Handles of clients: what their claims say on them, and what follows when they end
 *
 * A handle belongs to the caller that asked for it and is named by the cookie of the client's end, which the kernel
 * never gives twice: so a descriptor that a client sends along is recognised whatever number it has there. Only a
 * caller of the same uid may put claims on it. */

#include <errno.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

static BusClaim *claim_of_seat(HandleSeat *seat) {
        return container_of(seat, BusClaim, seat);
}

static void handle_on_told(HandleSeat *seat) {
        bus_claim_free(claim_of_seat(seat));
}

static void handle_on_release(HandleSeat *seat) {
        bus_claim_end(claim_of_seat(seat), false);
}

static void handle_on_left(HandleSeat *seat, bool died) {
        BusClaim *bc = claim_of_seat(seat);

        if (claim_is_terminal(&bc->claim)) {
                /* Its news was on its way, or is still to come: then it is freed where it is told. */
                if (!effect_is_pending(&bc->claim.effect))
                        bus_claim_free(bc);
        } else if (bc->lifetime == BUS_LIFETIME_HANDLE)
                bus_claim_end(bc, died);
}

static HandleSeat *handle_on_find(Handle *handle, uint64_t id) {
        BusClaim *bc = bus_claim_find(container_of(handle, BusHandle, handle)->server, id);

        return bc ? &bc->seat : NULL;
}

static BusHandle *bus_handle_free(BusHandle *h) {
        if (!h)
                return NULL;
        hash_remove(hh, h->server->handles, h);
        quota_discharge(&h->server->realm->quota, &h->charge);
        bus_caller_unref(h->caller);
        free(h);
        return NULL;
}
DEFINE_CLEANUP(BusHandle, bus_handle_free);

static void handle_on_closed(Handle *handle) {
        bus_handle_free(container_of(handle, BusHandle, handle));
}

static void handle_on_write(HandleSeat *seat, ClaimNews news, KvWriter *w) {
        bus_claim_write(claim_of_seat(seat), news, w);
}

static const HandleOps handle_ops = {
        .write = handle_on_write,
        .told = handle_on_told,
        .release = handle_on_release,
        .left = handle_on_left,
        .find = handle_on_find,
        .closed = handle_on_closed,
};

/* --- what is said ------------------------------------------------------------------------------- */

static void write_holder(const BusClaim *bc, KvWriter *w) {
        const Lock *lock = bc->claim.lock;
        char text[BUS_TEXT_SIZE];
        BusWho who;

        if (!lock || lock->queue.n_holders == 0)
                return;
        bus_who_of_claim(&who, bc->server, list_first_entry(&lock->queue.holders, Claim, link));
        kv_add(w, "HOLDER", bus_text_who(text, &who));
}

static void write_acquired(const Claim *c, KvWriter *w) {
        kv_add_u64(w, "TOKEN", c->token);
        kv_add(w, "PREVIOUS", previous_to_string(c->previous));
        kv_add_u64(w, "EPOCH", c->epoch);
        kv_add_u64(w, "WAIT_USEC", usec_sub(c->held_since_usec, c->requested_usec));
        kv_add(w, "MODE", lock_mode_to_string(c->mode));
}

void bus_claim_write(BusClaim *bc, ClaimNews news, KvWriter *w) {
        const Claim *c = &bc->claim;

        switch (news) {
        case NEWS_QUEUED:
                kv_add_u64(w, "POSITION", c->lock ? lock_queue_position(&c->lock->queue, c) : 0);
                write_holder(bc, w);
                break;
        case NEWS_ACQUIRED:
                write_acquired(c, w);
                break;
        case NEWS_CONVERTED:
                kv_add(w, "MODE", lock_mode_to_string(c->mode));
                kv_add_u64(w, "TOKEN", c->token);
                break;
        case NEWS_CONVERT_FAILED:
                kv_add(w, "REASON", claim_reason_to_string(c->convert_reason));
                break;
        case NEWS_CONTENDED:
                kv_add_u64(w, "WAITERS", c->lock ? c->lock->queue.n_waiters : 0);
                break;
        case NEWS_SUSPENDED:
        case NEWS_RESUMED:
                kv_add_u64(w, "DEADLINE_BOOTTIME_USEC", bc->domain->session.deadline_usec);
                break;
        case NEWS_LOST:
        case NEWS_FAILED:
                kv_add(w, "REASON", claim_reason_to_string(c->reason));
                break;
        case NEWS_RELEASED:
        case NEWS_TERMINAL:
                break;
        }
}

/* --- making and finding ------------------------------------------------------------------------- */

int bus_handle_new(BusHandle **ret, const BusCall *call, int *ret_client) {
        BusServer *s = call->server;
        _cleanup_(bus_handle_freep) BusHandle *h = NULL;
        int r;

        /* Not cleared: most of it is buffers. */
        h = malloc(sizeof(*h));
        if (!h)
                return -ENOMEM;
        h->server = s;
        h->caller = NULL;
        memset(&h->hh, 0, sizeof(h->hh));
        h->charge = (QuotaCharge) {};

        r = quota_charge(&s->realm->quota, &h->charge, call->caller->who.uid, QUOTA_HANDLES);
        if (r == -EDQUOT)
                return bus_error_setf(call->error, BUS_E_QUOTA_EXCEEDED, "User %u has %u handles, which is the limit",
                                      (unsigned) call->caller->who.uid, s->realm->quota.limits[QUOTA_HANDLES]);
        if (r < 0)
                return r;
        r = handle_open(&h->handle, s->loop, &handle_ops, ret_client);
        if (r < 0)
                return r;

        h->caller = bus_caller_ref(call->caller);
        h->handle.proc_fd = call->caller->proc_fd;
        r = hash_add(hh, s->handles, &h->handle.cookie, sizeof(h->handle.cookie), h);
        if (r < 0) {
                /* It is reading already: it frees itself. */
                handle_close(&TAKE_PTR(h)->handle);
                *ret_client = fd_close(*ret_client);
                return r;
        }
        *ret = TAKE_PTR(h);
        return 0;
}

int bus_handle_find(BusHandle **ret, const BusCall *call, int fd) {
        uint64_t cookie;
        BusHandle *h = NULL;

        if (handle_cookie(fd, &cookie) >= 0)
                hash_find(hh, call->server->handles, &cookie, sizeof(cookie), h);
        if (!h || h->handle.closing)
                return bus_error_setf(call->error, BUS_E_INVALID_ARGS, "Option Handle is not a handle of this agent");
        if (h->caller->who.uid != call->caller->who.uid)
                return bus_error_setf(call->error, BUS_E_NOT_OWNER, "The handle belongs to another user");
        *ret = h;
        return 0;
}

void bus_handle_close_all(BusServer *s) {
        BusHandle *h, *next;

        hash_foreach_safe(hh, s->handles, h, next)
                handle_give_up(&h->handle, false);
}

bool bus_handle_all_flushed(const BusServer *s) {
        const BusHandle *h;

        hash_foreach(hh, s->handles, h)
                if (!handle_is_flushed(&h->handle))
                        return false;
        return true;
}
