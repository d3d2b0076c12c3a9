/* SPDX-License-Identifier: Apache-2.0 */
/* Highest zxid seen: see zk-zxid.h */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "backend/zk-zxid.h"
#include "base/fd.h"
#include "base/kv.h"
#include "base/str.h"
#include "core/name.h"

#define FILE_MAX 256

static int zxid_parse(ZkZxid *z, const char *data, size_t len) {
        KvPair pair;
        uint64_t highest;

        if (kv_find(data, len, "ZXID", &pair) <= 0 || kv_value_u64(&pair, &highest) < 0 || highest > INT64_MAX)
                return -EBADMSG;
        z->highest = z->saved = (int64_t) highest;
        return 0;
}

static int zxid_read(ZkZxid *z) {
        _cleanup_free_ char *data = NULL;
        size_t len;
        int r;

        r = file_read(z->path, FILE_MAX, &data, &len);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        return zxid_parse(z, data, len);
}

int zk_zxid_init(ZkZxid *z, const char *state_directory, const char *domain, bool acknowledge) {
        char name[NAME_FORM_SIZE];
        int r;

        *z = (ZkZxid) { .acknowledge = acknowledge };
        if (!state_directory)
                return 0;

        r = name_encode(NAME_FORM_FILE, domain, name, sizeof(name));
        if (r < 0)
                return r;
        z->path = strjoin(state_directory, "/zxid-", name);
        if (!z->path)
                return -ENOMEM;
        r = zxid_read(z);
        if (r < 0)
                zk_zxid_deinit(z);
        return r;
}

void zk_zxid_deinit(ZkZxid *z) {
        free(z->path);
        *z = (ZkZxid) {};
}

ZkZxidVerdict zk_zxid_see(ZkZxid *z, int64_t zxid, bool of_write) {
        if (zxid > z->highest) {
                z->highest = zxid;
                return ZK_ZXID_FINE;
        }
        if (!of_write || zxid <= 0 || z->regressed)
                return ZK_ZXID_FINE;
        if (!z->acknowledge) {
                z->regressed = true;
                return ZK_ZXID_REGRESSED;
        }
        z->acknowledge = false;
        z->highest = zxid;
        return ZK_ZXID_ACKNOWLEDGED;
}

bool zk_zxid_is_unsaved(const ZkZxid *z) {
        return z->path && z->highest != z->saved;
}

int zk_zxid_save(ZkZxid *z) {
        char buf[FILE_MAX];
        KvWriter w = KV_WRITER(buf);
        int r;

        if (!zk_zxid_is_unsaved(z))
                return 0;
        kv_add_u64(&w, "ZXID", (uint64_t) z->highest);
        r = kv_finish(&w);
        if (r < 0)
                return r;
        r = file_write_atomic(z->path, buf, (size_t) r, 0644);
        if (r < 0)
                return r;
        z->saved = z->highest;
        return 0;
}
