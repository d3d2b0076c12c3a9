/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one codec of KEY=VALUE lines: handle datagrams, znode data, snapshots, leader files */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"

/* Keys are [A-Z][A-Z0-9_]*. Values are any bytes but NUL and newline; other control bytes become '?'
 * when written. Nothing is escaped, so a shell can `read` the lines. */

/* The first error sticks, so that only kv_finish() must be checked. */
typedef struct KvWriter {
        char *buf;
        size_t size;
        size_t len;
        int error;
} KvWriter;

#define KV_WRITER(buffer) ((KvWriter) { .buf = (buffer), .size = sizeof(buffer) })

void kv_writer_init(KvWriter *w, char *buf, size_t size);
void kv_add(KvWriter *w, const char *key, const char *value);
void kv_add_len(KvWriter *w, const char *key, const char *value, size_t len);
void kv_add_u64(KvWriter *w, const char *key, uint64_t value);
void kv_addf(KvWriter *w, const char *key, const char *fmt, ...) _printf_(3, 4); /* below 512 bytes */

/* The length, the buffer then being NUL-terminated; -ENOBUFS when it did not fit, -EINVAL on a bad key
 * or a newline in a value. */
int kv_finish(KvWriter *w);

/* Points into the buffer that is read: not NUL-terminated. */
typedef struct KvPair {
        const char *key;
        size_t key_len;
        const char *value;
        size_t value_len;
} KvPair;

typedef struct KvReader {
        const char *pos;
        const char *end;
} KvReader;

void kv_reader_init(KvReader *r, const char *data, size_t len);

/* 1: a pair, 0: the end, -EBADMSG: not a line of ours (the rest is not read). Empty lines are skipped. */
int kv_next(KvReader *r, KvPair *ret);

bool kv_key_is(const KvPair *pair, const char *key);
bool kv_value_is(const KvPair *pair, const char *value);
int kv_value_u64(const KvPair *pair, uint64_t *ret);              /* 0, -EINVAL, -ERANGE */
int kv_value_copy(const KvPair *pair, char *buf, size_t size);    /* length or -ENOBUFS */
int kv_value_dup(const KvPair *pair, char **p);                   /* replaces *p; 0 or -ENOMEM */

/* The first pair with this key: 1, 0 or -EBADMSG. */
int kv_find(const char *data, size_t len, const char *key, KvPair *ret);
