/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Highest zxid seen of an ensemble: one that goes back was restored from a backup, and tokens would repeat
 *
 * Kept in <state>/zxid-<domain>. Each write of ours must be given a greater zxid than all that was seen before it.
 * When one is not, grants are refused until an operator acknowledges it; that is used up by one regression. */

#include <stdbool.h>
#include <stdint.h>

typedef struct ZkZxid {
        char *path; /* NULL: not kept */
        int64_t highest;
        int64_t saved;
        bool regressed;   /* waits for an operator */
        bool acknowledge; /* the next regression is accepted */
} ZkZxid;

typedef enum ZkZxidVerdict {
        ZK_ZXID_FINE,
        ZK_ZXID_REGRESSED,    /* just now */
        ZK_ZXID_ACKNOWLEDGED, /* just now, and accepted: goes on from here */
} ZkZxidVerdict;

/* -errno when the file can't be read, or is none of ours. */
int zk_zxid_init(ZkZxid *z, const char *state_directory, const char *domain, bool acknowledge);
void zk_zxid_deinit(ZkZxid *z);

/* A reply named this zxid; `of_write`: it is that of a write of ours, in the order of the replies. */
ZkZxidVerdict zk_zxid_see(ZkZxid *z, int64_t zxid, bool of_write);

bool zk_zxid_is_unsaved(const ZkZxid *z);
int zk_zxid_save(ZkZxid *z);
