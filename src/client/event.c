/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Events: what the agent says of a claim
 *
 * A datagram is at most 4096 bytes of KEY=VALUE lines. Keys and events that are not known are passed on to the
 * program and otherwise ignored: a newer agent may say more. A number that is none, or a line that is none, makes the
 * whole datagram bad. */

#include <errno.h>
#include <string.h>

#include "base/kv.h"
#include "base/str.h"
#include "client/event.h"

static const char *const event_kind_table[_EVENT_KIND_MAX] = {
        [EVENT_OTHER] = "other",
        [EVENT_QUEUED] = "queued",
        [EVENT_ACQUIRED] = "acquired",
        [EVENT_CONVERTED] = "converted",
        [EVENT_CONVERT_FAILED] = "convert-failed",
        [EVENT_CONTENDED] = "contended",
        [EVENT_SUSPENDED] = "suspended",
        [EVENT_RESUMED] = "resumed",
        [EVENT_RELEASED] = "released",
        [EVENT_LOST] = "lost",
        [EVENT_FAILED] = "failed",
};
DEFINE_STRING_TABLE(event_kind, EventKind, _EVENT_KIND_MAX);

static const char *const tooz_claim_state_table[_TOOZ_CLAIM_STATE_MAX] = {
        [TOOZ_CLAIM_WAITING] = "waiting",
        [TOOZ_CLAIM_HELD] = "held",
        [TOOZ_CLAIM_SUSPENDED] = "suspended",
        [TOOZ_CLAIM_LOST] = "lost",
        [TOOZ_CLAIM_RELEASED] = "released",
        [TOOZ_CLAIM_FAILED] = "failed",
};
DEFINE_STRING_TABLE(tooz_claim_state, tooz_claim_state, _TOOZ_CLAIM_STATE_MAX);

static const char *const tooz_previous_table[_TOOZ_PREVIOUS_MAX] = {
        [TOOZ_PREVIOUS_UNKNOWN] = "unknown",
        [TOOZ_PREVIOUS_RELEASED] = "released",
        [TOOZ_PREVIOUS_DIED] = "died",
};
DEFINE_STRING_TABLE(tooz_previous, tooz_previous, _TOOZ_PREVIOUS_MAX);

static const char *const tooz_lock_mode_table[_TOOZ_LOCK_MODE_MAX] = {
        [TOOZ_LOCK_EXCLUSIVE] = "exclusive",
        [TOOZ_LOCK_SHARED] = "shared",
};
DEFINE_STRING_TABLE(tooz_lock_mode, tooz_lock_mode, _TOOZ_LOCK_MODE_MAX);

static const struct {
        const char *key;
        size_t offset;
} number_keys[] = {
        { "CLAIM", offsetof(Event, claim_id) },
        { "SEQ", offsetof(Event, sequence) },
        { "BOOTTIME_USEC", offsetof(Event, boottime_usec) },
        { "POSITION", offsetof(Event, position) },
        { "TOKEN", offsetof(Event, token) },
        { "EPOCH", offsetof(Event, epoch) },
        { "MISSED", offsetof(Event, missed) },
};

/* 1: it was one of the numbers; 0: it was not. */
static int event_take_number(Event *e, const KvPair *pair) {
        for (size_t i = 0; i < ARRAY_SIZE(number_keys); i++) {
                if (!kv_key_is(pair, number_keys[i].key))
                        continue;
                if (kv_value_u64(pair, (uint64_t *) (void *) ((char *) e + number_keys[i].offset)) < 0)
                        return -EBADMSG;
                return 1;
        }
        return 0;
}

static void event_take_word(Event *e, const KvPair *pair, const char *value) {
        int r;

        if (kv_key_is(pair, "EVENT")) {
                r = event_kind_from_string(value);
                e->kind = r < 0 ? EVENT_OTHER : (EventKind) r;
                e->name = value;
        } else if (kv_key_is(pair, "REASON"))
                e->reason = value;
        else if (kv_key_is(pair, "PREVIOUS")) {
                r = tooz_previous_from_string(value);
                e->previous = r < 0 ? TOOZ_PREVIOUS_UNKNOWN : (tooz_previous) r;
        } else if (kv_key_is(pair, "MODE")) {
                r = tooz_lock_mode_from_string(value);
                e->has_mode = r >= 0;
                e->mode = r < 0 ? TOOZ_LOCK_EXCLUSIVE : (tooz_lock_mode) r;
        }
}

/* `text` is a copy of the datagram in which each line is a string of its own. */
static int event_take_fields(Event *e, const char *data, size_t len) {
        size_t n_fields = 0;
        KvReader reader;
        KvPair pair;
        int r;

        kv_reader_init(&reader, data, len);
        while ((r = kv_next(&reader, &pair)) > 0) {
                r = event_take_number(e, &pair);
                if (r < 0)
                        return r;
                if (r == 0)
                        event_take_word(e, &pair, e->text + (pair.value - data));
                if (n_fields < EVENT_FIELDS_MAX)
                        e->fields[n_fields++] = e->text + (pair.key - data);
        }
        return r;
}

static int event_new(Event **ret, size_t text_size) {
        Event *e = calloc(1, sizeof(*e) + text_size);

        if (!e)
                return -ENOMEM;
        list_link_init(&e->link);
        e->name = e->reason = "";
        *ret = e;
        return 0;
}

int event_parse(Event **ret, const char *data, size_t len) {
        _cleanup_(event_freep) Event *e = NULL;
        int r;

        if (len > EVENT_SIZE_MAX || !str_is_utf8(data, len))
                return -EBADMSG;

        r = event_new(&e, len + 1);
        if (r < 0)
                return r;
        for (size_t i = 0; i < len; i++)
                e->text[i] = data[i] == '\n' ? '\0' : data[i];

        r = event_take_fields(e, data, len);
        if (r < 0)
                return r;
        if (!*e->name || e->claim_id == 0)
                return -EBADMSG;

        *ret = TAKE_PTR(e);
        return 0;
}

int event_make(Event **ret, uint64_t claim_id, EventKind kind, const char *reason, uint64_t now) {
        char text[256];
        KvWriter w = KV_WRITER(text);
        int len;

        kv_add(&w, "EVENT", event_kind_to_string(kind));
        kv_add_u64(&w, "CLAIM", claim_id);
        kv_add_u64(&w, "BOOTTIME_USEC", now);
        if (!str_is_empty(reason))
                kv_add(&w, "REASON", reason);
        len = kv_finish(&w);
        if (len < 0)
                return len;
        return event_parse(ret, text, (size_t) len);
}

Event *event_free(Event *e) {
        if (!e)
                return NULL;
        list_unlink(&e->link);
        free(e);
        return NULL;
}

bool event_is_final(const Event *e) {
        return e->kind == EVENT_RELEASED || e->kind == EVENT_LOST || e->kind == EVENT_FAILED;
}
