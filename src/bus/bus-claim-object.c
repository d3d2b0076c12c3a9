/* SPDX-License-Identifier: Apache-2.0 */
/* org.tooz.Agent1.Claim: one object per claim that waits or holds
 *
 * There may be very many, so they are found by their path when somebody asks, and no property emits a signal: news of
 * a claim go to its owner alone (bus-claim.c). */

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

/* Introspection lists no more children than these. */
#define CLAIMS_SHOWN_MAX 1024u

/* --- finding ------------------------------------------------------------------------------------ */

static BusClaim *claim_from_path(const BusServer *s, const char *path) {
        const char *encoded = str_skip_prefix(path, BUS_PATH_CLAIM "/");
        char number[NAME_LEN_MAX + 1];
        BusClaim *bc;
        uint64_t id;

        if (!encoded || name_decode(NAME_FORM_PATH, encoded, number, sizeof(number)) < 0 || str_parse_u64(number, &id) < 0)
                return NULL;
        bc = bus_claim_find(s, id);
        return bc && bc->claim.lock ? bc : NULL;
}

/* Whoever may not read the name sees nothing of its claims. What the interface looks like is no secret. */
static bool claim_is_visible(BusConn *conn, const BusClaim *bc) {
        sd_bus_message *m = sd_bus_get_current_message(conn->pump.bus);
        BusCaller *caller;

        if (!m || streq_ptr(sd_bus_message_get_interface(m), "org.freedesktop.DBus.Introspectable"))
                return true;
        caller = bus_caller_of(conn, m);
        return caller &&
               (caller->who.uid == bc->claim.owner.uid ||
                access_allows(&conn->server->realm->access, &caller->who, ACCESS_READ, bc->domain->name, bc->name));
}

static int claim_on_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                         sd_bus_error *error) {
        BusConn *conn = userdata;
        BusClaim *bc;

        if (streq(path, BUS_PATH_CLAIM))
                return 0;
        bc = claim_from_path(conn->server, path);
        if (!bc || !claim_is_visible(conn, bc))
                return bus_error_setf(error, BUS_E_NO_SUCH_CLAIM, "There is no such claim, or no longer");
        *ret_found = bc;
        return 1;
}

static char **paths_free(char **paths) {
        for (char **p = paths; p && *p; p++)
                free(*p);
        free(paths);
        return NULL;
}
DEFINE_CLEANUP(char *, paths_free);

static int claim_on_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        BusConn *conn = userdata;
        sd_bus_message *m = sd_bus_get_current_message(bus);
        _cleanup_(paths_freep) char **paths = NULL;
        const BusClaim *bc;
        size_t n = 0;

        /* Claims come and go too often to be managed objects. */
        if (m && streq_ptr(sd_bus_message_get_interface(m), "org.freedesktop.DBus.ObjectManager"))
                return 0;

        paths = calloc(CLAIMS_SHOWN_MAX + 1, sizeof(*paths));
        if (!paths)
                return -ENOMEM;
        hash_foreach(hh, conn->server->claims, bc) {
                char path[BUS_CLAIM_PATH_SIZE];

                if (n == CLAIMS_SHOWN_MAX)
                        break;
                if (!bc->claim.lock)
                        continue;
                paths[n] = strdup(bus_claim_path(bc->claim.id, path));
                if (!paths[n])
                        return -ENOMEM;
                n++;
        }
        *ret_nodes = TAKE_PTR(paths);
        return 0;
}

/* --- properties --------------------------------------------------------------------------------- */

#define GETTER(name)                                                                                              \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property,         \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(id) {
        const BusClaim *bc = userdata;

        return sd_bus_message_append(reply, "t", bc->claim.id);
}

GETTER(text) {
        const BusClaim *bc = userdata;
        const struct {
                const char *property;
                const char *value;
        } texts[] = {
                { "Kind", "lock" },
                { "Domain", bc->domain->name },
                { "Name", bc->name },
                { "Mode", lock_mode_to_string(bc->claim.mode) },
                { "State", claim_state_to_string(bc->claim.state) },
                { "Reason", claim_reason_to_string(bc->claim.reason) },
                { "Lifetime", bus_lifetime_to_string(bc->lifetime) },
                { "OwnerUnit", bc->claim.owner.unit },
                { "OwnerComm", bc->claim.owner.comm },
                { "OwnerBusName", bc->caller->name },
                { "Description", bc->claim.owner.description },
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (streq(texts[i].property, property))
                        return sd_bus_message_append(reply, "s", bus_text_safe(texts[i].value));
        assert_not_reached();
}

GETTER(owner_number) {
        const BusClaim *bc = userdata;

        return sd_bus_message_append(reply, "u", streq(property, "OwnerPid") ? (uint32_t) bc->claim.owner.pid :
                                                                              (uint32_t) bc->claim.owner.uid);
}

GETTER(position) {
        const BusClaim *bc = userdata;

        return sd_bus_message_append(reply, "u", lock_queue_position(&bc->claim.lock->queue, &bc->claim));
}

/* Until when it is certainly still its owner's; in `node` for ever, and before the grant not at all. */
static uint64_t claim_deadline(const BusClaim *bc) {
        if (!claim_is_holding(&bc->claim))
                return 0;
        return bc->domain->kind == DOMAIN_NODE ? USEC_INFINITY : bc->domain->session.deadline_usec;
}

GETTER(number) {
        const BusClaim *bc = userdata;
        const Claim *c = &bc->claim;
        uint64_t value = 0;

        if (streq(property, "RequestBoottimeUSec"))
                value = c->requested_usec;
        else if (streq(property, "DeadlineBoottimeUSec"))
                value = claim_deadline(bc);
        else if (!claim_is_holding(c))
                value = 0;
        else if (streq(property, "Token"))
                value = c->token;
        else if (streq(property, "Epoch"))
                value = c->epoch;
        else if (streq(property, "AcquireBoottimeUSec"))
                value = c->held_since_usec;
        return sd_bus_message_append(reply, "t", value);
}

/* --- methods ------------------------------------------------------------------------------------ */

/* The claim that is called, and the right to change it. */
static int call_begin(BusCall *call, sd_bus_message *m, BusClaim *bc, sd_bus_error *error) {
        int r;

        r = bus_call_begin(call, m, error);
        if (r < 0)
                return r;
        if (!bus_call_is_over(call, bc->claim.owner.uid, bc->domain, bc->name))
                return bus_error_setf(error, BUS_E_NOT_OWNER, "The claim belongs to user %u",
                                      (unsigned) bc->claim.owner.uid);
        return 0;
}

static int on_release(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusClaim *bc = userdata;
        BusCall call;
        int r;

        r = call_begin(&call, m, bc, error);
        if (r < 0)
                return r;
        bus_claim_end(bc, false);
        return sd_bus_reply_method_return(m, NULL);
}

static int on_convert(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusClaim *bc = userdata;
        uint64_t timeout_usec, now = time_now();
        const char *mode;
        BusCall call;
        int r, to;

        r = call_begin(&call, m, bc, error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "st", &mode, &timeout_usec);
        if (r < 0)
                return r;
        to = lock_mode_from_string(mode);
        if (to < 0)
                return bus_error_setf(error, BUS_E_INVALID_ARGS, "Unknown lock mode");
        if (timeout_usec > BUS_MAX_BLOCKING_USEC)
                return bus_error_setf(error, BUS_E_INVALID_ARGS, "A call may wait for %ju s at most",
                                      (uintmax_t) (BUS_MAX_BLOCKING_USEC / USEC_PER_SEC));
        if (bc->convert_call)
                return bus_error_setf(error, BUS_E_BUSY, "A conversion is already waited for");

        r = lock_table_convert(&bc->domain->locks, &bc->claim, (LockMode) to, usec_add(now, timeout_usec), now,
                               &call.server->realm->effects);
        if (r != 0) {
                BusErrorCode code = bus_error_from_outcome(r);

                return bus_error_setf(error, code, "%s", bus_error_text(code));
        }
        bc->convert_call = sd_bus_message_ref(m);
        bc->convert_caller = bus_caller_ref(call.caller);
        bc->convert_tries = timeout_usec == 0;
        return 1;
}

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const BusClaim *bc = userdata;
        bool holding = claim_is_holding(&bc->claim);

        return sd_bus_reply_method_return(m, "stt", claim_state_to_string(bc->claim.state),
                                          holding ? bc->claim.token : UINT64_C(0),
                                          usec_sub(claim_deadline(bc), time_now()));
}

/* --- vtable ------------------------------------------------------------------------------------- */

#define U SD_BUS_VTABLE_UNPRIVILEGED
#define CONST SD_BUS_VTABLE_PROPERTY_CONST

static const sd_bus_vtable claim_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "t", get_id, 0, CONST),
        SD_BUS_PROPERTY("Kind", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("Domain", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("Mode", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("State", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("Reason", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("Token", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("Epoch", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("Position", "u", get_position, 0, 0),
        SD_BUS_PROPERTY("Lifetime", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("OwnerPid", "u", get_owner_number, 0, CONST),
        SD_BUS_PROPERTY("OwnerUid", "u", get_owner_number, 0, CONST),
        SD_BUS_PROPERTY("OwnerUnit", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("OwnerComm", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("OwnerBusName", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("Description", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("RequestBoottimeUSec", "t", get_number, 0, CONST),
        SD_BUS_PROPERTY("AcquireBoottimeUSec", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("DeadlineBoottimeUSec", "t", get_number, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_release, U),
        SD_BUS_METHOD_WITH_ARGS("Convert", SD_BUS_ARGS("s", mode, "t", timeout_usec), SD_BUS_RESULT("t", token),
                                on_convert, U),
        SD_BUS_METHOD_WITH_ARGS("Check", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", state, "t", token, "t", safe_for_usec),
                                on_check, U),
        SD_BUS_SIGNAL_WITH_ARGS("Event", SD_BUS_ARGS("t", sequence, "s", event, "a{sv}", details), 0),
        SD_BUS_VTABLE_END,
};

int bus_claim_export(BusConn *conn) {
        int r;

        r = sd_bus_add_fallback_vtable(conn->pump.bus, NULL, BUS_PATH_CLAIM, BUS_CLAIM, claim_vtable, claim_on_find, conn);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(conn->pump.bus, NULL, BUS_PATH_CLAIM, claim_on_enumerate, conn);
}
