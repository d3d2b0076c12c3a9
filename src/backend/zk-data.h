/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stands in our znodes, as KEY=VALUE lines. What is read was written by anybody. */

#include <stddef.h>
#include <stdint.h>

#include "core/claim.h"
#include "core/query.h"

#define ZK_DATA_SIZE 1024
#define ZK_DETAIL_SIZE 256

/* A lock node: the host, and the claim for which it was made. The length; it always fits. */
size_t zk_data_write_node(char buf[static ZK_DATA_SIZE], const char *host, const Claim *claim, uint64_t since_realtime_usec);
/* Fills in what can be told of the node's owner; `foreign` when it is no agent of ours. 0 or -ENOMEM. */
int zk_data_read_node(const char *data, size_t len, OwnerInfo *ret);

/* Request to break a lock, left with the agent that holds it. */
typedef struct ZkBreakRequest {
        char *lock;
        uint64_t token;
        char *by; /* "1000@host": for the log */
} ZkBreakRequest;

int zk_data_write_break(char buf[static ZK_DATA_SIZE], const char *lock, uint64_t token, uint32_t uid, const char *host);
/* 0, -EBADMSG, -EALREADY (it has its answer), -ENOMEM. */
int zk_data_read_break(const char *data, size_t len, ZkBreakRequest *ret);
void zk_break_request_done(ZkBreakRequest *b);

/* Its answer when it was not done: -ESTALE or -ENOENT; a success deletes the request. */
size_t zk_data_write_answer(char buf[static ZK_DATA_SIZE], int error);
/* 0: not answered; the error. */
int zk_data_read_answer(const char *data, size_t len);

/* Record of a death: czxid of the node; 0 when it is none. */
size_t zk_data_write_died(char buf[static ZK_DATA_SIZE], int64_t czxid);
int64_t zk_data_read_died(const char *data, size_t len);

/* A line of the library's log, without time and thread; "" unless it is an error. For people, one line. */
void zk_data_log_detail(char buf[static ZK_DETAIL_SIZE], const char *line);
const char *zk_data_log_message(const char *line);
