/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of our znodes: see zk-data.h. Pure. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-data.h"
#include "base/assert.h"
#include "base/kv.h"
#include "base/str.h"

/* Longer ones are cut: together they fit in ZK_DATA_SIZE. */
#define HOST_MAX 64
#define UNIT_MAX 255
#define COMM_MAX 64
#define LOCK_MAX 255
#define FOREIGN_MAX 256

/* A text without control bytes, cut at a character's end; what is no UTF-8 keeps its ASCII part. */
static void add_text(KvWriter *w, const char *key, const char *text, size_t max) {
        char copy[UNIT_MAX + 2];
        size_t len = strlen(text);

        tooz_assert(max < sizeof(copy));
        if (len > max) {
                len = max;
                while (len > 0 && ((unsigned char) text[len] & 0xc0) == 0x80)
                        len--;
        }
        if (len == 0)
                return;

        memcpy(copy, text, len);
        copy[len] = '\0';
        str_defuse(copy, len);
        if (!str_is_utf8(copy, len))
                for (size_t i = 0; i < len; i++)
                        if ((unsigned char) copy[i] >= 0x80)
                                copy[i] = '?';
        kv_add(w, key, copy);
}

static size_t finish(KvWriter *w) {
        int r = kv_finish(w);

        tooz_assert(r >= 0);
        return (size_t) r;
}

size_t zk_data_write_node(char buf[static ZK_DATA_SIZE], const char *host, const Claim *claim,
                          uint64_t since_realtime_usec) {
        KvWriter w;

        kv_writer_init(&w, buf, ZK_DATA_SIZE);
        kv_add(&w, "AGENT", "tooz");
        add_text(&w, "HOST", host, HOST_MAX);
        kv_add_u64(&w, "SINCE_REALTIME_USEC", since_realtime_usec);
        if (claim) {
                kv_add_u64(&w, "PID", (uint64_t) claim->owner.pid);
                kv_add_u64(&w, "UID", claim->owner.uid);
                add_text(&w, "UNIT", claim->owner.unit ?: "", UNIT_MAX);
                add_text(&w, "COMM", claim->owner.comm ?: "", COMM_MAX);
                add_text(&w, "DESCRIPTION", claim->owner.description ?: "", CLAIM_DESCRIPTION_MAX - 1);
        }
        return finish(&w);
}

static int take_text(const KvPair *pair, size_t max, char **p) {
        if (pair->value_len > max || !str_is_utf8(pair->value, pair->value_len))
                return 0;
        return kv_value_dup(pair, p);
}

static int take_pair(const KvPair *pair, OwnerInfo *ret) {
        uint64_t number;

        if (kv_key_is(pair, "HOST"))
                return take_text(pair, HOST_MAX, &ret->host);
        if (kv_key_is(pair, "UNIT"))
                return take_text(pair, UNIT_MAX, &ret->unit);
        if (kv_key_is(pair, "COMM"))
                return take_text(pair, COMM_MAX, &ret->comm);
        if (kv_key_is(pair, "DESCRIPTION"))
                return take_text(pair, CLAIM_DESCRIPTION_MAX, &ret->description);

        if (kv_key_is(pair, "PID") && kv_value_u64(pair, &number) >= 0 && number <= INT32_MAX)
                ret->pid = (uint32_t) number;
        else if (kv_key_is(pair, "UID") && kv_value_u64(pair, &number) >= 0 && number <= UINT32_MAX)
                ret->uid = (uint32_t) number;
        else if (kv_key_is(pair, "SINCE_REALTIME_USEC") && kv_value_u64(pair, &number) >= 0)
                ret->since_realtime_usec = number;
        return 0;
}

/* kazoo's identifier and Tooz's data are a text, if anything. */
static int read_foreign(const char *data, size_t len, OwnerInfo *ret) {
        ret->foreign = true;
        if (len == 0 || len > FOREIGN_MAX || !str_is_utf8(data, len))
                return 0;
        for (size_t i = 0; i < len; i++)
                if ((unsigned char) data[i] < 0x20 || data[i] == 0x7f)
                        return 0;
        return strndup_to(&ret->description, data, len);
}

int zk_data_read_node(const char *data, size_t len, OwnerInfo *ret) {
        KvReader reader;
        KvPair pair;
        int r;

        if (len == 0 || len > ZK_DATA_SIZE || kv_find(data, len, "AGENT", &pair) <= 0 || !kv_value_is(&pair, "tooz"))
                return read_foreign(data, len, ret);

        kv_reader_init(&reader, data, len);
        while (kv_next(&reader, &pair) > 0) {
                r = take_pair(&pair, ret);
                if (r < 0)
                        return r;
        }
        return 0;
}

int zk_data_write_break(char buf[static ZK_DATA_SIZE], const char *lock, uint64_t token, uint32_t uid, const char *host) {
        KvWriter w;

        kv_writer_init(&w, buf, ZK_DATA_SIZE);
        kv_add(&w, "LOCK", lock);
        kv_add_u64(&w, "TOKEN", token);
        kv_addf(&w, "BY", "%" PRIu32 "@%.*s", uid, HOST_MAX, host);
        return kv_finish(&w);
}

int zk_data_read_break(const char *data, size_t len, ZkBreakRequest *ret) {
        ZkBreakRequest b = {};
        KvPair pair;
        int r;

        if (len == 0 || len > ZK_DATA_SIZE)
                return -EBADMSG;
        if (kv_find(data, len, "RESULT", &pair) > 0)
                return -EALREADY;
        if (kv_find(data, len, "TOKEN", &pair) <= 0 || kv_value_u64(&pair, &b.token) < 0)
                return -EBADMSG;
        if (kv_find(data, len, "LOCK", &pair) <= 0 || pair.value_len == 0 || pair.value_len > LOCK_MAX)
                return -EBADMSG;

        r = kv_value_dup(&pair, &b.lock);
        if (r >= 0 && kv_find(data, len, "BY", &pair) > 0)
                r = kv_value_dup(&pair, &b.by);
        if (r < 0) {
                zk_break_request_done(&b);
                return r;
        }
        if (b.by)
                str_defuse(b.by, strlen(b.by));
        *ret = b;
        return 0;
}

void zk_break_request_done(ZkBreakRequest *b) {
        free(b->lock);
        free(b->by);
        *b = (ZkBreakRequest) {};
}

size_t zk_data_write_answer(char buf[static ZK_DATA_SIZE], int error) {
        KvWriter w;

        kv_writer_init(&w, buf, ZK_DATA_SIZE);
        kv_add(&w, "RESULT", error == -ESTALE ? "stale" : "not-held");
        return finish(&w);
}

int zk_data_read_answer(const char *data, size_t len) {
        KvPair pair;

        if (len == 0 || len > ZK_DATA_SIZE || kv_find(data, len, "RESULT", &pair) <= 0)
                return 0;
        return kv_value_is(&pair, "stale") ? -ESTALE : -ENOENT;
}

size_t zk_data_write_died(char buf[static ZK_DATA_SIZE], int64_t czxid) {
        int r = str_print(buf, ZK_DATA_SIZE, "%" PRId64, czxid);

        tooz_assert(r >= 0);
        return (size_t) r;
}

int64_t zk_data_read_died(const char *data, size_t len) {
        uint64_t czxid;

        if (!data || str_parse_u64n(data, len, &czxid) < 0 || czxid > INT64_MAX)
                return 0;
        return (int64_t) czxid;
}

/* "2026-11-23 05:04:03,123:77(0x7f..):ZOO_ERROR@func@1234: message" */
const char *zk_data_log_message(const char *line) {
        const char *mark = strstr(line, ":ZOO_");

        return mark ? mark + 1 : line;
}

void zk_data_log_detail(char buf[static ZK_DETAIL_SIZE], const char *line) {
        const char *text, *server, *server_end, *cause, *cause_end;

        buf[0] = '\0';
        line = zk_data_log_message(line);
        if (!str_skip_prefix(line, "ZOO_ERROR@"))
                return;
        text = strstr(line, ": ");
        text = text ? text + STRLEN(": ") : line;

        /* "Socket 127.0.0.1:2181 zk retcode=-4, errno=111(Connection refused): server refused to accept the client" */
        server = str_skip_prefix(text, "Socket ");
        server_end = server ? strstr(server, " zk retcode=") : NULL;
        cause = server_end ? strchr(server_end, '(') : NULL;
        cause_end = cause ? strstr(cause, "): ") : NULL;
        if (cause_end)
                (void) str_print(buf, ZK_DETAIL_SIZE, "%.*s: %.*s", (int) MIN(server_end - server, (ptrdiff_t) 80), server,
                                 (int) MIN(cause_end - cause - 1, (ptrdiff_t) 80), cause + 1);
        else
                (void) str_print(buf, ZK_DETAIL_SIZE, "%.200s", text);
        str_defuse(buf, strlen(buf));
}
