/* SPDX-License-Identifier: Apache-2.0 */
/* Claim: what one client holds or waits for */

#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"
#include "core/claim.h"

static const char *const claim_state_table[_CLAIM_STATE_MAX] = {
        [CLAIM_NEW] = "new",
        [CLAIM_WAITING] = "waiting",
        [CLAIM_HELD] = "held",
        [CLAIM_SUSPENDED] = "suspended",
        [CLAIM_RELEASED] = "released",
        [CLAIM_LOST] = "lost",
        [CLAIM_FAILED] = "failed",
};
DEFINE_STRING_TABLE(claim_state, ClaimState, _CLAIM_STATE_MAX);

static const char *const claim_reason_table[_CLAIM_REASON_MAX] = {
        [REASON_NONE] = "none",
        [REASON_TIMEOUT] = "timeout",
        [REASON_WOULD_BLOCK] = "would-block",
        [REASON_CANCELED] = "canceled",
        [REASON_DEADLOCK] = "deadlock",
        [REASON_DEADLINE] = "deadline",
        [REASON_SESSION_EXPIRED] = "session-expired",
        [REASON_BROKEN] = "broken",
        [REASON_AGENT_STOPPING] = "agent-stopping",
        [REASON_BACKEND_ERROR] = "backend-error",
        [REASON_EXHAUSTED] = "exhausted",
        [REASON_TOKEN_REGRESSION] = "token-regression",
};
DEFINE_STRING_TABLE(claim_reason, ClaimReason, _CLAIM_REASON_MAX);

static const char *const previous_table[_PREVIOUS_MAX] = {
        [PREVIOUS_UNKNOWN] = "unknown",
        [PREVIOUS_RELEASED] = "released",
        [PREVIOUS_DIED] = "died",
};
DEFINE_STRING_TABLE(previous, Previous, _PREVIOUS_MAX);

static const bool legal[_CLAIM_STATE_MAX][_CLAIM_STATE_MAX] = {
        [CLAIM_NEW] = { [CLAIM_WAITING] = true },
        [CLAIM_WAITING] = { [CLAIM_HELD] = true, [CLAIM_FAILED] = true },
        [CLAIM_HELD] = { [CLAIM_SUSPENDED] = true, [CLAIM_RELEASED] = true, [CLAIM_LOST] = true },
        [CLAIM_SUSPENDED] = { [CLAIM_HELD] = true, [CLAIM_RELEASED] = true, [CLAIM_LOST] = true },
};

/* For people, and D-Bus: UTF-8 without control bytes, cut between characters. */
static size_t text_len(const char *text) {
        size_t len = strnlen(text, CLAIM_DESCRIPTION_MAX);

        if (len == CLAIM_DESCRIPTION_MAX)
                while (len > 0 && ((unsigned char) text[len] & 0xc0) == 0x80)
                        len--;
        return len;
}

/* Copies to `to`, and says where the next one goes. */
static char *text_put(char **ret, char *to, const char *text, size_t len) {
        *ret = memcpy(to, text, len);
        to[len] = '\0';
        str_repair(to, len);
        return to + len + 1;
}

/* There are many claims: their three strings share one piece of memory, which begins with `unit`. */
static int owner_copy(ClaimOwner *to, const ClaimOwner *from) {
        const char *unit = from->unit ?: "", *comm = from->comm ?: "", *description = from->description ?: "";
        size_t unit_len = text_len(unit), comm_len = text_len(comm), description_len = text_len(description);
        char *at;

        to->uid = from->uid;
        to->pid = from->pid;
        at = malloc(unit_len + comm_len + description_len + 3);
        if (!at)
                return -ENOMEM;
        at = text_put(&to->unit, at, unit, unit_len);
        at = text_put(&to->comm, at, comm, comm_len);
        (void) text_put(&to->description, at, description, description_len);
        return 0;
}

int claim_init(Claim *claim, uint64_t id, LockMode mode, uint64_t flags, const ClaimOwner *owner) {
        *claim = (Claim) {
                .id = id,
                .mode = mode,
                .state = CLAIM_NEW,
                .flags = flags,
                .wait_deadline_usec = USEC_INFINITY,
        };
        list_link_init(&claim->link);
        heap_node_init(&claim->timer);
        effect_init(&claim->effect, EFFECT_CLAIM);

        return owner_copy(&claim->owner, owner);
}

void claim_deinit(Claim *claim) {
        tooz_assert(claim->state == CLAIM_NEW || claim_is_terminal(claim));
        tooz_assert(!list_is_linked(&claim->link));
        tooz_assert(!heap_is_linked(&claim->timer));
        effect_cancel(&claim->effect);
        free(claim->owner.unit);
}

bool claim_is_terminal(const Claim *claim) {
        return claim->state == CLAIM_RELEASED || claim->state == CLAIM_LOST || claim->state == CLAIM_FAILED;
}

bool claim_is_holding(const Claim *claim) {
        return claim->state == CLAIM_HELD || claim->state == CLAIM_SUSPENDED;
}

void claim_enter(Claim *claim, ClaimState state) {
        tooz_assert(legal[claim->state][state]);
        claim->state = state;
}

void claim_tell(Claim *claim, ClaimNews news, Effects *fx) {
        /* Suspended and resumed cancel each other when nobody has been told yet. */
        if (news == NEWS_RESUMED && claim->news & NEWS_SUSPENDED) {
                claim->news &= ~(unsigned) NEWS_SUSPENDED;
                return;
        }
        if (news == NEWS_SUSPENDED && claim->news & NEWS_RESUMED) {
                claim->news &= ~(unsigned) NEWS_RESUMED;
                return;
        }
        /* That it waits is no news for one that has it, nor is its grant for one that ended meanwhile. */
        if (news == NEWS_ACQUIRED)
                claim->news &= ~(unsigned) NEWS_QUEUED;
        /* A conversion that came true overtakes one that failed before it. */
        if (news == NEWS_CONVERTED)
                claim->news &= ~(unsigned) NEWS_CONVERT_FAILED;
        if (news & NEWS_TERMINAL)
                claim->news = 0;
        claim->news |= news;
        effects_push(fx, &claim->effect);
}

unsigned claim_take_news(Claim *claim) {
        unsigned news = claim->news;

        claim->news = 0;
        return news;
}
