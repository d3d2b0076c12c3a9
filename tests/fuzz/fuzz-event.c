/* SPDX-License-Identifier: Apache-2.0 */
/* Events of the handle: whatever a datagram holds, its strings end within it */

#include <errno.h>

#include "base/assert.h"
#include "base/str.h"
#include "client/event.h"
#include "fuzz/fuzz.h"

const char *const fuzz_seeds[] = {
        "EVENT=acquired\nCLAIM=7\nSEQ=2\nBOOTTIME_USEC=5\nTOKEN=18446744073709551615\nPREVIOUS=died\nEPOCH=3\nMODE=shared\n",
        "EVENT=queued\nCLAIM=1\nPOSITION=3\nHOLDER=node3 backup.service (pid 4711)\n",
        "EVENT=lost\nCLAIM=1\nREASON=session-expired\nMISSED=4",
        "EVENT=moonrise\nCLAIM=9\n\nX=\n",
        "",
        NULL,
};

void fuzz_one(const char *text, size_t len) {
        Event *e = NULL;
        size_t total = 0;
        int r;

        r = event_parse(&e, text, len);
        tooz_assert(r == 0 || r == -EBADMSG || r == -ENOMEM);
        if (r < 0)
                return;

        tooz_assert(*e->name && e->claim_id > 0);
        tooz_assert((size_t) e->kind < _EVENT_KIND_MAX);
        tooz_assert(str_is_utf8(e->name, strlen(e->name)));
        for (size_t i = 0; e->fields[i]; i++) {
                tooz_assert(i < EVENT_FIELDS_MAX && strchr(e->fields[i], '='));
                total += strlen(e->fields[i]) + 1;
        }
        tooz_assert(total <= len + 1);
        tooz_assert(strlen(e->reason) <= len);
        (void) event_free(e);
}
