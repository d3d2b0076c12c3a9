/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of toozctl share */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ctl/ctl.h"

void ctl_say(const char *fmt, ...) {
        va_list ap;

        fputs("toozctl: ", stderr);
        va_start(ap, fmt);
        (void) vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
}

int ctl_fail(Ctl *ctl, int error, const char *fmt, ...) {
        const char *words = tooz_client_get_error(ctl->client);
        va_list ap;

        fputs("toozctl: ", stderr);
        va_start(ap, fmt);
        (void) vfprintf(stderr, fmt, ap);
        va_end(ap);
        fprintf(stderr, ": %s\n", *words ? words : strerror(-error));
        return EXIT_ERROR;
}

int ctl_connect(Ctl *ctl) {
        int r;

        if (ctl->client)
                return 0;
        r = tooz_client_open(&ctl->client, ctl->o.address, 0);
        if (r < 0)
                (void) ctl_fail(ctl, r, "can't reach tooz-agent");
        return r;
}

const char *owner_describe(char buf[static OWNER_TEXT_SIZE], const struct tooz_owner *o) {
        const char *what = *o->unit ? o->unit : o->command;
        char process[64] = "";

        if (o->pid > 0)
                (void) str_print(process, sizeof(process), " (pid %u, uid %u)", o->pid, o->uid);
        if (str_print(buf, OWNER_TEXT_SIZE, "%s%s%s%s", *o->host ? o->host : "?", *what ? " " : "", what, process) < 0)
                (void) str_copy(buf, OWNER_TEXT_SIZE, "?");
        str_defuse(buf, strlen(buf));
        return buf;
}
