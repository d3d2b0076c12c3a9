/* SPDX-License-Identifier: Apache-2.0 */
/* News that an administrator wants to find in the journal
 *
 * Only what is out of the ordinary gets a line at the usual level: a service that takes a lock a thousand times a
 * second must not write a journal of it. Names are in their form for logs. */

#include <inttypes.h>

#include "agent/news.h"
#include "base/time.h"
#include "core/name.h"
#include "sd/journal.h"

/* A wait that somebody may ask about later. */
#define LONG_WAIT_USEC USEC_PER_SEC

typedef struct ClaimText {
        const char *domain;
        char name[NAME_FORM_SIZE];
        char span[TIME_TEXT_SIZE];
} ClaimText;

static void claim_describe(ClaimText *text, const Claim *claim, uint64_t usec) {
        const char *name;

        bus_claim_names(claim, &text->domain, &name);
        if (name_encode(NAME_FORM_LOG, name, text->name, sizeof(text->name)) < 0)
                text->name[0] = 0;
        (void) time_format_span(text->span, usec);
}

/* The fields that every line about a claim has. */
#define CLAIM_FIELDS(text, claim)                                     \
        log_field("TOOZ_DOMAIN", "%s", (text)->domain),               \
        log_field("TOOZ_LOCK", "%s", (text)->name),                   \
        log_field("TOOZ_CLAIM", "%" PRIu64, (claim)->id),             \
        log_field("TOOZ_TOKEN", "%" PRIu64, (claim)->token),          \
        log_field("TOOZ_OWNER_PID", "%d", (int) (claim)->owner.pid),  \
        log_field("TOOZ_OWNER_UNIT", "%s", (claim)->owner.unit),      \
        log_field("OBJECT_PID", "%d", (int) (claim)->owner.pid)

static void news_of_grant(const Claim *claim) {
        uint64_t waited = usec_sub(claim->held_since_usec, claim->requested_usec);
        LogLevel level = waited > LONG_WAIT_USEC ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
        bool died = claim->previous == PREVIOUS_DIED;
        ClaimText text;

        if (!died && level > log_get_max_level())
                return;
        claim_describe(&text, claim, waited);
        if (died)
                log_struct(LOG_LEVEL_WARNING, JOURNAL_ID_HOLDER_DIED, CLAIM_FIELDS(&text, claim), NULL,
                           "Lock %s of domain %s: the holder before died; granted to pid %d (%s)", text.name, text.domain,
                           (int) claim->owner.pid, claim->owner.comm);
        log_struct(level, JOURNAL_ID_LOCK_ACQUIRED, CLAIM_FIELDS(&text, claim),
                   log_field("TOOZ_WAIT_USEC", "%" PRIu64, waited), NULL,
                   "Lock %s of domain %s: granted to pid %d (%s) after %s", text.name, text.domain,
                   (int) claim->owner.pid, claim->owner.comm, text.span);
}

static void news_of_loss(const Claim *claim, uint64_t now) {
        uint64_t held = usec_sub(now, claim->held_since_usec);
        bool broken = claim->reason == REASON_BROKEN, stopping = claim->reason == REASON_AGENT_STOPPING;
        LogLevel level = stopping ? LOG_LEVEL_INFO : broken ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR;
        ClaimText text;

        claim_describe(&text, claim, held);
        log_struct(level, broken ? JOURNAL_ID_LOCK_BROKEN : JOURNAL_ID_LOCK_LOST, CLAIM_FIELDS(&text, claim),
                   log_field("TOOZ_HOLD_USEC", "%" PRIu64, held),
                   log_field("TOOZ_REASON", "%s", claim_reason_to_string(claim->reason)), NULL,
                   "Lock %s of domain %s: lost by pid %d (%s) after %s: %s", text.name, text.domain,
                   (int) claim->owner.pid, claim->owner.comm, text.span, claim_reason_to_string(claim->reason));
}

static void news_of_deadlock(const Claim *claim, uint64_t now) {
        ClaimText text;

        claim_describe(&text, claim, usec_sub(now, claim->requested_usec));
        log_struct(LOG_LEVEL_WARNING, JOURNAL_ID_DEADLOCK, CLAIM_FIELDS(&text, claim), NULL,
                   "Lock %s of domain %s: two holders want to upgrade; pid %d (%s) was refused", text.name, text.domain,
                   (int) claim->owner.pid, claim->owner.comm);
}

void news_of_claim(const Claim *claim, uint64_t now) {
        if (claim->news & NEWS_ACQUIRED)
                news_of_grant(claim);
        if (claim->news & NEWS_LOST)
                news_of_loss(claim, now);
        if ((claim->news & NEWS_FAILED && claim->reason == REASON_DEADLOCK) ||
            (claim->news & NEWS_CONVERT_FAILED && claim->convert_reason == REASON_DEADLOCK))
                news_of_deadlock(claim, now);
}

/* --- sessions ------------------------------------------------------------------------------------- */

#define SESSION_FIELDS(ad)                                                         \
        log_field("TOOZ_DOMAIN", "%s", (ad)->domain->name),                        \
        log_field("TOOZ_SERVER", "%s", (ad)->backend->info.server),                \
        log_field("TOOZ_SESSION", "0x%016" PRIx64, (uint64_t) (ad)->domain->session.id)

static void news_of_contact(const AgentDomain *ad) {
        const Session *s = &ad->domain->session;
        char span[TIME_TEXT_SIZE];

        (void) time_format_span(span, s->timeout_usec);
        if (s->epoch != ad->told_epoch)
                log_struct(LOG_LEVEL_NOTICE, JOURNAL_ID_BACKEND_CONNECTED, SESSION_FIELDS(ad), NULL,
                           "Domain %s: connected to %s, session 0x%016" PRIx64 ", timeout %s", ad->domain->name,
                           ad->backend->info.server, (uint64_t) s->id, span);
        else
                log_struct(LOG_LEVEL_NOTICE, JOURNAL_ID_BACKEND_CONNECTED, SESSION_FIELDS(ad), NULL,
                           "Domain %s: in contact again with %s", ad->domain->name, ad->backend->info.server);
}

static void news_of_silence(const AgentDomain *ad) {
        char left[TIME_TEXT_SIZE];

        (void) time_format_span(left, usec_sub(ad->domain->session.deadline_usec, time_now()));
        log_struct(LOG_LEVEL_WARNING, JOURNAL_ID_BACKEND_SUSPENDED, SESSION_FIELDS(ad), NULL,
                   "Domain %s: no contact: holders are told that they are suspended, %s are left", ad->domain->name, left);
}

void news_of_session(AgentDomain *ad) {
        const Session *s = &ad->domain->session;

        if (s->state == ad->told_state && s->epoch == ad->told_epoch)
                return;

        switch (s->state) {
        case SESSION_UP:
                news_of_contact(ad);
                break;
        case SESSION_SUSPENDED:
                news_of_silence(ad);
                break;
        case SESSION_OVERDUE:
                log_struct(LOG_LEVEL_ERROR, JOURNAL_ID_SESSION_LOST, SESSION_FIELDS(ad), NULL,
                           "Domain %s: no contact until the deadline: what was held is lost", ad->domain->name);
                break;
        case SESSION_CONNECTING:
                log_struct(LOG_LEVEL_ERROR, JOURNAL_ID_SESSION_LOST, SESSION_FIELDS(ad), NULL,
                           "Domain %s: the session is over; a new one is being made", ad->domain->name);
                break;
        case _SESSION_STATE_MAX:
        case _SESSION_STATE_INVALID:
                break;
        }
        ad->told_state = s->state;
        ad->told_epoch = s->epoch;
}
