/* SPDX-License-Identifier: Apache-2.0 */
/* What can be seen: lists, queries, objects, properties, introspection; and breaking */

#include "bus/bus-kit.h"

KIT_SUITE(bus_objects);

/* --- lists and queries -------------------------------------------------------------------------- */

static void check_owner(sd_bus_message *m, const char *mode, uint64_t token, const char *description) {
        const char *id, *host, *is_mode, *unit, *has;
        uint64_t is_token, since;
        uint32_t pid, uid;

        cr_assert_gt(kit_ok(sd_bus_message_enter_container(m, 'r', "sssuusttsa{sv}")), 0);
        kit_ok(sd_bus_message_read(m, "sssuustts", &id, &host, &is_mode, &pid, &uid, &unit, &is_token, &since, &has));
        cr_assert(str_skip_prefix(id, "host-a:"));
        kit_streq(host, "host-a");
        kit_streq(is_mode, mode);
        cr_assert_eq(pid, (uint32_t) getpid());
        cr_assert_eq(uid, (uint32_t) getuid());
        cr_assert_eq(is_token, token);
        cr_assert_leq(since, time_now_realtime());
        cr_assert_gt(since, time_now_realtime() - 100 * USEC_PER_SEC);
        kit_streq(has, description);
        kit_ok(sd_bus_message_skip(m, "a{sv}"));
        kit_ok(sd_bus_message_exit_container(m));
}

LOOP_TEST(bus_objects, query_shows_holders_and_waiters) {
        sd_bus_message *m;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "shared", 0, 1, "Description", "s", "nightly");
        held_request(&c, &b, "x", "exclusive", 0, 0);

        m = manager_call(&c, NULL, "QueryLock", "ss", "node", "x");
        kit_ok(sd_bus_message_enter_container(m, 'a', "(sssuusttsa{sv})"));
        check_owner(m, "shared", world_holder(&w, "x")->token, "nightly");
        cr_assert_eq(sd_bus_message_at_end(m, false), 1);
        kit_ok(sd_bus_message_exit_container(m));
        kit_ok(sd_bus_message_enter_container(m, 'a', "(sssuusttsa{sv})"));
        check_owner(m, "exclusive", 0, "");
        cr_assert_eq(sd_bus_message_at_end(m, false), 1);
        sd_bus_message_unref(m);

        m = manager_call(&c, NULL, "QueryLock", "ss", "node", "y");
        kit_ok(sd_bus_message_enter_container(m, 'a', "(sssuusttsa{sv})"));
        cr_assert_eq(sd_bus_message_at_end(m, false), 1);
        sd_bus_message_unref(m);
        manager_call(&c, "InvalidName", "QueryLock", "ss", "node", "");
        manager_call(&c, "NoSuchDomain", "QueryLock", "ss", "x", "x");
        a.fd = fd_close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus_objects, list_shows_each_lock_once) {
        const char *domain, *name, *mode, *who, *path;
        uint32_t n_holders, n_waiters;
        uint64_t token, since;
        sd_bus_message *m;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_request(&c, &b, "x", "exclusive", 0, 0);
        for (uint64_t flags = 0; flags < 2; flags++) {
                m = manager_call(&c, NULL, "ListLocks", "st", "", flags);
                kit_ok(sd_bus_message_enter_container(m, 'a', "(sssuuttso)"));
                cr_assert_gt(kit_ok(sd_bus_message_read(m, "(sssuuttso)", &domain, &name, &mode, &n_holders, &n_waiters,
                                                        &token, &since, &who, &path)),
                             0);
                kit_streq(domain, "node");
                kit_streq(name, "x");
                kit_streq(mode, "exclusive");
                cr_assert_eq(n_holders, 1);
                cr_assert_eq(n_waiters, 1);
                cr_assert_eq(token, world_holder(&w, "x")->token);
                cr_assert(str_skip_prefix(who, "host-a "));
                kit_streq(path, a.path);
                cr_assert_eq(sd_bus_message_at_end(m, false), 1);
                sd_bus_message_unref(m);
        }
        manager_call(&c, "InvalidArgs", "ListLocks", "st", "", UINT64_C(2));
        a.fd = fd_close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus_objects, broken_lock_is_lost_by_its_holder) {
        uint64_t token, latest;
        sd_bus_message *m;
        int current;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        token = held_number(&a, "TOKEN");
        m = manager_call(&c, NULL, "VerifyToken", "sst", "node", "x", token);
        kit_ok(sd_bus_message_read(m, "bt", &current, &latest));
        cr_assert(current && latest == token);
        sd_bus_message_unref(m);

        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        manager_call(&c, "StaleToken", "BreakLock", "sstt", "node", "x", token - 1, UINT64_C(0));
        manager_call(&c, "NotHeld", "BreakLock", "sstt", "node", "y", token, UINT64_C(0));
        manager_call(&c, "InvalidArgs", "BreakLock", "sstt", "node", "x", token, UINT64_C(1));
        sd_bus_message_unref(manager_call(&c, NULL, "BreakLock", "sstt", "node", "x", token, UINT64_C(0)));
        held_expect(&w, &a, "lost");
        held_is(&a, "REASON", "broken");
        held_expect(&w, &b, "acquired");
        held_is(&b, "PREVIOUS", "unknown");

        m = manager_call(&c, NULL, "VerifyToken", "sst", "node", "x", token);
        kit_ok(sd_bus_message_read(m, "bt", &current, &latest));
        cr_assert(!current && latest == held_number(&b, "TOKEN"));
        sd_bus_message_unref(m);
        m = manager_call(&c, NULL, "VerifyToken", "sst", "node", "y", UINT64_C(0));
        kit_ok(sd_bus_message_read(m, "bt", &current, &latest));
        cr_assert(!current && latest == 0);
        sd_bus_message_unref(m);
        close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

/* --- claims ------------------------------------------------------------------------------------- */

static sd_bus_message *property(Client *c, const char *path, const char *interface, const char *name, const char *type) {
        sd_bus_message *m = client_call(c, NULL, path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name);

        kit_ok(sd_bus_message_enter_container(m, 'v', type));
        return m;
}

static void property_is(Client *c, const char *path, const char *interface, const char *name, const char *want) {
        sd_bus_message *m = property(c, path, interface, name, "s");
        const char *is;

        kit_ok(sd_bus_message_read(m, "s", &is));
        kit_streq(is, want);
        sd_bus_message_unref(m);
}

static uint64_t property_number(Client *c, const char *path, const char *interface, const char *name, char type) {
        const char types[] = { type, 0 };
        sd_bus_message *m = property(c, path, interface, name, types);
        uint64_t value = 0;
        uint32_t small = 0;

        kit_ok(type == 't' ? sd_bus_message_read(m, "t", &value) : sd_bus_message_read(m, types, &small));
        sd_bus_message_unref(m);
        return value + small;
}

LOOP_TEST(bus_objects, claim_has_properties_as_long_as_it_lives) {
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "a/b", "exclusive", 0, 1, "Description", "s", "nightly");
        held_request(&c, &b, "a/b", "shared", 0, 0);
        held_expect(&w, &a, "acquired");
        property_is(&c, a.path, BUS_CLAIM, "Kind", "lock");
        property_is(&c, a.path, BUS_CLAIM, "Domain", "node");
        property_is(&c, a.path, BUS_CLAIM, "Name", "a/b");
        property_is(&c, a.path, BUS_CLAIM, "Mode", "exclusive");
        property_is(&c, a.path, BUS_CLAIM, "State", "held");
        property_is(&c, a.path, BUS_CLAIM, "Reason", "none");
        property_is(&c, a.path, BUS_CLAIM, "Lifetime", "handle");
        property_is(&c, a.path, BUS_CLAIM, "OwnerBusName", "");
        property_is(&c, a.path, BUS_CLAIM, "Description", "nightly");
        property_is(&c, b.path, BUS_CLAIM, "State", "waiting");
        cr_assert_eq(property_number(&c, a.path, BUS_CLAIM, "Id", 't'), held_number(&a, "CLAIM"));
        cr_assert_eq(property_number(&c, a.path, BUS_CLAIM, "Token", 't'), held_number(&a, "TOKEN"));
        cr_assert_eq(property_number(&c, b.path, BUS_CLAIM, "Token", 't'), 0);
        cr_assert_eq(property_number(&c, a.path, BUS_CLAIM, "OwnerPid", 'u'), (uint64_t) getpid());
        cr_assert_eq(property_number(&c, a.path, BUS_CLAIM, "OwnerUid", 'u'), (uint64_t) getuid());
        cr_assert_eq(property_number(&c, b.path, BUS_CLAIM, "Position", 'u'), 1);
        cr_assert_eq(property_number(&c, a.path, BUS_CLAIM, "DeadlineBoottimeUSec", 't'), USEC_INFINITY);
        cr_assert_eq(property_number(&c, b.path, BUS_CLAIM, "DeadlineBoottimeUSec", 't'), 0);
        cr_assert_leq(property_number(&c, a.path, BUS_CLAIM, "RequestBoottimeUSec", 't'), time_now());
        cr_assert_geq(property_number(&c, a.path, BUS_CLAIM, "AcquireBoottimeUSec", 't'),
                      property_number(&c, a.path, BUS_CLAIM, "RequestBoottimeUSec", 't'));

        a.fd = fd_close(a.fd);
        held_expect(&w, &b, "queued");
        held_expect(&w, &b, "acquired");
        client_call(&c, "NoSuchClaim", a.path, "org.freedesktop.DBus.Properties", "Get", "ss", BUS_CLAIM, "Name");
        client_call(&c, "NoSuchClaim", BUS_PATH_CLAIM "/_3999", BUS_CLAIM, "Check", "");
        client_call(&c, "NoSuchClaim", BUS_PATH_CLAIM "/x", BUS_CLAIM, "Check", "");
        held_close(&w, &b, "a/b");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus_objects, check_says_whether_it_is_safe) {
        uint64_t token, safe;
        const char *state;
        sd_bus_message *m;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        m = client_call(&c, NULL, a.path, BUS_CLAIM, "Check", "");
        kit_ok(sd_bus_message_read(m, "stt", &state, &token, &safe));
        kit_streq(state, "held");
        cr_assert_eq(token, held_number(&a, "TOKEN"));
        cr_assert_eq(safe, USEC_INFINITY);
        sd_bus_message_unref(m);
        m = client_call(&c, NULL, b.path, BUS_CLAIM, "Check", "");
        kit_ok(sd_bus_message_read(m, "stt", &state, &token, &safe));
        kit_streq(state, "waiting");
        cr_assert_eq(token, 0);
        cr_assert_eq(safe, 0);
        sd_bus_message_unref(m);
        a.fd = fd_close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

static unsigned list_claims(Client *c, uint64_t flags) {
        sd_bus_message *m = manager_call(c, NULL, "ListClaims", "t", flags);
        unsigned n = 0;

        kit_ok(sd_bus_message_enter_container(m, 'a', "(tssssuusto)"));
        while (kit_ok(sd_bus_message_skip(m, "(tssssuusto)")) > 0)
                n++;
        sd_bus_message_unref(m);
        return n;
}

LOOP_TEST(bus_objects, claims_are_listed_and_counted) {
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        cr_assert_eq(list_claims(&c, 0), 0);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_request(&c, &b, "x", "exclusive", 0, 0);
        cr_assert_eq(list_claims(&c, 0), 2);
        cr_assert_eq(list_claims(&c, 1), 2);
        manager_call(&c, "InvalidArgs", "ListClaims", "t", UINT64_C(4));
        cr_assert_eq(property_number(&c, BUS_PATH, BUS_MANAGER, "NClaims", 'u'), 2);
        cr_assert_eq(property_number(&c, BUS_PATH_DOMAIN "/node", BUS_DOMAIN, "NLocksHeld", 'u'), 1);
        cr_assert_eq(property_number(&c, BUS_PATH_DOMAIN "/node", BUS_DOMAIN, "NLocksWaiting", 'u'), 1);
        a.fd = fd_close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

/* --- domains and the manager -------------------------------------------------------------------- */

static bool lists(Client *c, const char *path, const char *interface, const char *member, const char *text) {
        sd_bus_message *m = client_call(c, NULL, path, interface, member, "");
        _cleanup_free_ char *dump = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&dump, &size);
        bool found;

        kit_ok(sd_bus_message_dump(m, f, 0));
        fclose(f);
        found = strstr(dump, text);
        sd_bus_message_unref(m);
        return found;
}

LOOP_TEST(bus_objects, domains_are_managed_objects_and_claims_are_not) {
        World w;
        Client c;
        Held a;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        cr_assert(lists(&c, BUS_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", BUS_PATH_DOMAIN "/node"));
        cr_assert(!lists(&c, BUS_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", a.path));
        cr_assert(lists(&c, BUS_PATH_CLAIM, "org.freedesktop.DBus.Introspectable", "Introspect",
                        strrchr(a.path, '/') + 1));
        property_is(&c, BUS_PATH_DOMAIN "/node", BUS_DOMAIN, "State", "up");
        property_is(&c, BUS_PATH_DOMAIN "/node", BUS_DOMAIN, "Backend", "node");
        property_is(&c, BUS_PATH, BUS_MANAGER, "DefaultDomain", "node");
        property_is(&c, BUS_PATH, BUS_MANAGER, "Version", "1.2.3");
        property_is(&c, BUS_PATH, BUS_MANAGER, "State", "running");
        property_is(&c, BUS_PATH, BUS_MANAGER, "LoopKind", loop_kind_to_string(kind));
        sd_bus_message_unref(client_call(&c, NULL, BUS_PATH, "org.freedesktop.DBus.Properties", "GetAll", "s", BUS_MANAGER));
        manager_call(&c, "NotSupported", "GetStatusPage", "s", "node");
        sd_bus_message_unref(manager_call(&c, NULL, "Reload", ""));
        cr_assert_eq(w.n_reloads, 1);
        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

/* --- introspection ------------------------------------------------------------------------------ */

/* The text of one interface, or NULL. */
static char *interface_of(const char *xml, const char *name) {
        char start[128];
        const char *from, *to;

        kit_ok(str_print(start, sizeof(start), " <interface name=\"%s\">", name));
        from = strstr(xml, start);
        to = from ? strstr(from, " </interface>\n") : NULL;
        return to ? strndup(from, (size_t) (to - from) + strlen(" </interface>\n")) : NULL;
}

/* `make check` sets $srcdir. What differs is printed, to be put in its place. */
static void check_xml(Client *c, const char *path, const char *name) {
        sd_bus_message *answer = client_call(c, NULL, path, "org.freedesktop.DBus.Introspectable", "Introspect", "");
        _cleanup_free_ char *want = NULL, *has = NULL, *shipped = NULL, *file = NULL;
        const char *xml;

        kit_ok(sd_bus_message_read(answer, "s", &xml));
        has = interface_of(xml, name);
        cr_assert_not_null(has);
        file = str_format("%s/src/bus/%s.xml", getenv("srcdir") ?: "..", name);
        kit_ok(file_read(file, 1 << 20, &shipped, NULL));
        want = interface_of(shipped, name);
        if (!want || !streq(want, has))
                fprintf(stderr, "%s should have:\n%s", file, has);
        cr_assert(want && streq(want, has), "%s is not what is introspected", file);
        sd_bus_message_unref(answer);
}

Test(bus_objects, interfaces_are_as_shipped) {
        World w;
        Client c;
        Held h;

        world_new(&w, LOOP_EPOLL, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &h, "x", "exclusive", 0, 0);
        check_xml(&c, BUS_PATH, BUS_MANAGER);
        check_xml(&c, BUS_PATH_DOMAIN "/node", BUS_DOMAIN);
        check_xml(&c, h.path, BUS_CLAIM);
        close(h.fd);
        client_close(&c);
        world_free(&w);
}
