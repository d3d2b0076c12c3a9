/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fencing tokens
 *
 * A token is unique for its name in its domain, and greater than that of every conflicting grant before it.
 *
 *   cluster:  | epoch 16 | counter 32 | number of the local grant 16 |
 *
 * The upper 48 bits are the czxid of the node in force: its epoch (upper half, rising with every ZooKeeper leader)
 * and its counter. The zxid orders all transactions of an ensemble, so a node created later has the greater one,
 * also when its directory was deleted and made again: there the sequence number starts anew at 0. Grants under one
 * node are numbered from 1; number 0 names the tenure itself.
 *
 *   node:     nanoseconds of the wall clock when the slot was made, then rising by one. TokenSource keeps it rising
 *             when the clock was set back, while the agent runs and, by a ceiling kept in a file, across restarts. */

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_GRANT_BITS 16
#define TOKEN_GRANTS_MAX UINT32_C(65534)
#define TOKEN_EPOCH_MAX UINT64_C(65535)

/* Is this zxid one that a token can be made of? An epoch over 65,535 is not, nor is one that is not positive. */
bool token_zxid_is_valid(int64_t zxid);
/* Token of the n-th grant (1..TOKEN_GRANTS_MAX; 0 = the tenure) under the node with this czxid. */
uint64_t token_from_czxid(int64_t czxid, uint32_t grant);
uint64_t token_tenure(uint64_t token); /* the token of its tenure: grant number 0 */

/* Where `node` tokens start. `high` is above every token given and every one that a former agent may have given. */
typedef struct TokenSource {
        uint64_t high;
        uint64_t ceiling; /* no token may reach it before a greater one has been stored */
} TokenSource;

/* `stored_ceiling` is what token_source_reserve() had stored, 0 if nothing was. */
void token_source_init(TokenSource *s, uint64_t stored_ceiling);
/* The next token for a slot whose last one was `last` (0: the slot is new). */
uint64_t token_source_next(TokenSource *s, uint64_t last, uint64_t realtime_nsec);
/* The ceiling to store now, before tokens go on; 0: none is due. */
uint64_t token_source_due(const TokenSource *s, uint64_t realtime_nsec);
void token_source_stored(TokenSource *s, uint64_t ceiling);
