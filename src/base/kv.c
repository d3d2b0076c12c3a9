/* SPDX-License-Identifier: Apache-2.0 */
/* KEY=VALUE lines */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/kv.h"
#include "base/str.h"

static bool key_is_valid(const char *key, size_t len) {
        if (len == 0 || key[0] < 'A' || key[0] > 'Z')
                return false;

        for (size_t i = 1; i < len; i++)
                if (!(key[i] >= 'A' && key[i] <= 'Z') && !(key[i] >= '0' && key[i] <= '9') && key[i] != '_')
                        return false;
        return true;
}

void kv_writer_init(KvWriter *w, char *buf, size_t size) {
        *w = (KvWriter) { .buf = buf, .size = size };
}

void kv_add_len(KvWriter *w, const char *key, const char *value, size_t len) {
        size_t key_len = strlen(key);
        char *p;

        if (w->error < 0)
                return;
        if (!key_is_valid(key, key_len) || memchr(value, '\n', len)) {
                w->error = -EINVAL;
                return;
        }
        if (len > w->size || key_len > w->size || key_len + len + STRLEN("=\n") >= w->size - w->len) {
                w->error = -ENOBUFS;
                return;
        }

        p = mempcpy(w->buf + w->len, key, key_len);
        *p++ = '=';
        memcpy(p, value, len);
        str_defuse(p, len);
        p += len;
        *p++ = '\n';
        w->len = (size_t) (p - w->buf);
}

void kv_add(KvWriter *w, const char *key, const char *value) {
        kv_add_len(w, key, value, strlen(value));
}

void kv_add_u64(KvWriter *w, const char *key, uint64_t value) {
        kv_addf(w, key, "%" PRIu64, value);
}

void kv_addf(KvWriter *w, const char *key, const char *fmt, ...) {
        char value[512];
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(value, sizeof(value), fmt, ap);
        va_end(ap);

        if (n >= 0 && (size_t) n < sizeof(value))
                kv_add_len(w, key, value, (size_t) n);
        else if (w->error == 0)
                w->error = -ENOBUFS;
}

int kv_finish(KvWriter *w) {
        if (w->error < 0)
                return w->error;
        if (w->size == 0)
                return -ENOBUFS;

        w->buf[w->len] = 0;
        return (int) w->len;
}

void kv_reader_init(KvReader *r, const char *data, size_t len) {
        *r = (KvReader) { .pos = data, .end = data + len };
}

int kv_next(KvReader *r, KvPair *ret) {
        const char *line, *end, *sep;

        while (r->pos < r->end && *r->pos == '\n')
                r->pos++;
        if (r->pos == r->end)
                return 0;

        line = r->pos;
        end = memchr(line, '\n', (size_t) (r->end - line)) ?: r->end;
        sep = memchr(line, '=', (size_t) (end - line));
        if (!sep || !key_is_valid(line, (size_t) (sep - line)) || memchr(line, 0, (size_t) (end - line))) {
                r->pos = r->end;
                return -EBADMSG;
        }

        r->pos = end;
        *ret = (KvPair) {
                .key = line,
                .key_len = (size_t) (sep - line),
                .value = sep + 1,
                .value_len = (size_t) (end - sep - 1),
        };
        return 1;
}

bool kv_key_is(const KvPair *pair, const char *key) {
        return strlen(key) == pair->key_len && memcmp(pair->key, key, pair->key_len) == 0;
}

bool kv_value_is(const KvPair *pair, const char *value) {
        return strlen(value) == pair->value_len && memcmp(pair->value, value, pair->value_len) == 0;
}

int kv_value_u64(const KvPair *pair, uint64_t *ret) {
        return str_parse_u64n(pair->value, pair->value_len, ret);
}

int kv_value_copy(const KvPair *pair, char *buf, size_t size) {
        if (pair->value_len >= size)
                return -ENOBUFS;

        memcpy(buf, pair->value, pair->value_len);
        buf[pair->value_len] = 0;
        return (int) pair->value_len;
}

int kv_value_dup(const KvPair *pair, char **p) {
        return strndup_to(p, pair->value, pair->value_len);
}

int kv_find(const char *data, size_t len, const char *key, KvPair *ret) {
        KvReader reader;
        KvPair pair;
        int r;

        kv_reader_init(&reader, data, len);
        while ((r = kv_next(&reader, &pair)) > 0)
                if (kv_key_is(&pair, key)) {
                        *ret = pair;
                        return 1;
                }
        return r;
}
