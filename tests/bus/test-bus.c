/* SPDX-License-Identifier: Apache-2.0 */
/* The D-Bus face on the direct socket: locks, errors, queries, access, quotas */

#include <sys/stat.h>

#include "bus/bus-kit.h"

KIT_SUITE(bus);

LOOP_TEST(bus, request_is_answered_at_once_and_granted_on_the_handle) {
        World w;
        Client c;
        Held h;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &h, "backup", "exclusive", 0, 0);
        held_expect(&w, &h, "acquired");
        held_is(&h, "PREVIOUS", "released");
        held_is(&h, "MODE", "exclusive");
        held_is(&h, "EPOCH", "0");
        held_is(&h, "SEQ", "1");
        cr_assert_gt(held_number(&h, "TOKEN"), 0);
        cr_assert_leq(held_number(&h, "BOOTTIME_USEC"), time_now());

        close(h.fd);
        world_await_free(&w, "backup");
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

/* `make check` sets srcdir. What differs is printed, to be put in its place. */
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

Test(bus, interfaces_are_as_shipped) {
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
