/* SPDX-License-Identifier: Apache-2.0 */
/* Taking and giving back locks: the methods RequestLock, Lock, Unlock of the manager
 *
 * The life of an acquire begins here. RequestLock() answers at once, with the claim's path and a handle, whether the
 * lock is free or not: what happens to the claim is told on the handle. Lock() is the same for those who would rather
 * wait in a call: it is answered when the lock is granted, with the same handle, so that a client which has given up
 * meanwhile, and drops the late answer, gives the lock back by that. */

#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

/* A time-out of nothing is a try. */
static void request_settle_timeout(LockRequest *req) {
        if (req->timeout_usec == 0) {
                req->flags |= CLAIM_NO_QUEUE;
                req->timeout_usec = USEC_INFINITY;
        }
}

static int request_refused(const BusCall *call, const LockRequest *req, int outcome) {
        BusErrorCode code = bus_error_from_outcome(outcome);
        char text[BUS_TEXT_SIZE];

        return bus_error_setf(call->error, code, "%s",
                              code == BUS_E_WOULD_BLOCK ?
                                      bus_text_conflict(text, call->caller, req->domain, req->name) :
                                      bus_error_text(code));
}

/* Makes the claim and hands it to the core. `ret_client` is the handle's new end for the client, -1 for an old one. */
static int request_submit(BusClaim **ret, const BusCall *call, LockRequest *req, int *ret_client) {
        _cleanup_(bus_claim_freep) BusClaim *bc = NULL;
        _cleanup_close_ int client = -1;
        uint64_t now = time_now();
        int r;

        if (call->server->stopping)
                return bus_error_setf(call->error, BUS_E_STOPPING, "%s", bus_error_text(BUS_E_STOPPING));
        if (sd_bus_can_send(call->conn->pump.bus, 'h') <= 0)
                return bus_error_setf(call->error, BUS_E_NOT_SUPPORTED, "This connection can't pass file descriptors");

        request_settle_timeout(req);
        r = bus_claim_new(&bc, call, req, &client);
        if (r < 0)
                return r;
        r = lock_table_request(&req->domain->locks, &bc->claim, req->name, usec_add(now, req->timeout_usec), now,
                               &call->server->realm->effects);
        if (r != 0)
                return request_refused(call, req, r);

        *ret = TAKE_PTR(bc);
        *ret_client = TAKE_FD(client);
        return 0;
}

static int request_answer(const BusCall *call, const BusClaim *bc, int handle_fd) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        char path[BUS_CLAIM_PATH_SIZE];
        int r;

        r = sd_bus_message_new_method_return(call->message, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "oh", bus_claim_path(bc->claim.id, path), handle_fd);
        if (r >= 0)
                r = bus_reply_later(call->caller, reply);
        return r;
}

int bus_lock_on_request(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int client = -1;
        LockRequest req;
        BusClaim *bc;
        BusCall call;
        int r;

        r = bus_call_begin(&call, m, error);
        if (r >= 0)
                r = bus_request_read_target(&call, &req);
        if (r >= 0)
                r = sd_bus_message_read(m, "t", &req.flags);
        if (r >= 0)
                r = bus_request_check_flags(&call, req.flags, _CLAIM_FLAGS_ALL);
        if (r >= 0)
                r = bus_request_read_options(&call, &req);
        if (r >= 0)
                r = request_submit(&bc, &call, &req, &client);
        if (r < 0)
                return r;

        r = request_answer(&call, bc, client >= 0 ? client : req.handle_fd);
        if (r < 0) {
                bus_claim_end(bc, false);
                return r;
        }
        return 1;
}

int bus_lock_on_lock(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int client = -1;
        uint64_t timeout_usec = 0;
        LockRequest req;
        BusClaim *bc;
        BusCall call;
        int r;

        r = bus_call_begin(&call, m, error);
        if (r >= 0)
                r = bus_request_read_target(&call, &req);
        if (r >= 0)
                r = sd_bus_message_read(m, "t", &timeout_usec);
        if (r >= 0)
                r = bus_request_read_options(&call, &req);
        if (r < 0)
                return r;
        if (timeout_usec > BUS_MAX_BLOCKING_USEC)
                return bus_error_setf(error, BUS_E_INVALID_ARGS, "A call may wait for %ju s at most: use RequestLock",
                                      (uintmax_t) (BUS_MAX_BLOCKING_USEC / USEC_PER_SEC));

        req.timeout_usec = MIN(timeout_usec, req.timeout_usec);
        r = request_submit(&bc, &call, &req, &client);
        if (r < 0)
                return r;

        /* An old handle is kept open by ourselves until the answer: at most for as long as a call may wait. */
        if (client < 0)
                client = fcntl(req.handle_fd, F_DUPFD_CLOEXEC, 3);
        if (client < 0) {
                r = -errno;
                bus_claim_end(bc, false);
                return r;
        }
        bc->client_fd = TAKE_FD(client);
        bc->lock_call = sd_bus_message_ref(m);
        return 1;
}

/* --- giving back by name ------------------------------------------------------------------------ */

static Claim *holder_with_token(const Lock *lock, uint64_t token) {
        Claim *c;

        list_foreach(c, &lock->queue.holders, Claim, link)
                if (c->token == token)
                        return c;
        return NULL;
}

int bus_lock_on_unlock(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *domain, *name;
        char text[BUS_TEXT_SIZE];
        const Lock *lock;
        uint64_t token;
        BusCall call;
        Domain *d;
        Claim *c;
        int r;

        r = bus_call_begin(&call, m, error);
        if (r >= 0)
                r = sd_bus_message_read(m, "sst", &domain, &name, &token);
        if (r >= 0)
                r = bus_call_domain(&call, domain, &d);
        if (r >= 0)
                r = bus_call_name(&call, d, name);
        if (r < 0)
                return r;

        lock = lock_table_find(&d->locks, name);
        c = lock ? holder_with_token(lock, token) : NULL;
        if (c && bus_call_is_over(&call, c->owner.uid, d, name)) {
                bus_claim_end(bus_claim_of(c), false);
                return sd_bus_reply_method_return(m, NULL);
        }

        /* Whoever may not even read the name learns nothing of it. */
        r = bus_call_allow(&call, ACCESS_READ, d, name);
        if (r < 0)
                return r;
        if (!lock || !lock_is_held(lock))
                return bus_error_setf(error, BUS_E_NOT_HELD, "The lock is not held on this host");
        return bus_error_setf(error, c ? BUS_E_NOT_OWNER : BUS_E_STALE_TOKEN, "%s",
                              bus_text_conflict(text, call.caller, d, name));
}
