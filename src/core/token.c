/* SPDX-License-Identifier: Apache-2.0 */
/* Fencing tokens */

#include "base/assert.h"
#include "base/macro.h"
#include "core/token.h"

/* Storing costs an fsync: once an hour of wall clock, and after that many tokens at the most. */
#define CEILING_STEP_NSEC (UINT64_C(3600) * 1000 * 1000 * 1000)

bool token_zxid_is_valid(int64_t zxid) {
        return zxid > 0 && ((uint64_t) zxid >> 32) <= TOKEN_EPOCH_MAX;
}

uint64_t token_from_czxid(int64_t czxid, uint32_t grant) {
        uint64_t zxid = (uint64_t) czxid;

        tooz_assert(token_zxid_is_valid(czxid));
        tooz_assert(grant <= TOKEN_GRANTS_MAX);
        /* 16 bits of epoch and 32 of counter: valid zxids lose nothing */
        return zxid << TOKEN_GRANT_BITS | grant;
}

uint64_t token_tenure(uint64_t token) {
        return token >> TOKEN_GRANT_BITS << TOKEN_GRANT_BITS;
}

void token_source_init(TokenSource *s, uint64_t stored_ceiling) {
        *s = (TokenSource) { .high = stored_ceiling, .ceiling = stored_ceiling };
}

uint64_t token_source_next(TokenSource *s, uint64_t last, uint64_t realtime_nsec) {
        /* A slot goes on from its last token; a new one starts at the clock, or above all that were given if the
         * clock says less: its name may have had a slot before. A clock that jumped over the ceiling has to wait
         * until a greater one is stored: a crash would forget the jump. */
        bool beyond = s->ceiling > 0 && realtime_nsec >= s->ceiling;
        uint64_t token = last ? last + 1 : MAX(beyond ? 0 : realtime_nsec, s->high + 1);

        s->high = MAX(s->high, token);
        return token;
}

uint64_t token_source_due(const TokenSource *s, uint64_t realtime_nsec) {
        uint64_t next = MAX(s->high + 1, realtime_nsec);

        /* Half a step ahead, so that there is time to store it before the first token reaches the old one. */
        return next + CEILING_STEP_NSEC / 2 > s->ceiling ? next + CEILING_STEP_NSEC : 0;
}

void token_source_stored(TokenSource *s, uint64_t ceiling) {
        s->ceiling = MAX(s->ceiling, ceiling);
}
