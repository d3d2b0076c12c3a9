/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Log sink of the programs: the journal with its fields, or standard error with the time */

#include "base/log.h"

/* MESSAGE_ID=s, by which `journalctl MESSAGE_ID=…` finds all of one kind. */
#define JOURNAL_ID_LOCK_ACQUIRED "MESSAGE_ID=a9bcc1d32468453991f706277e325030"
#define JOURNAL_ID_LOCK_LOST "MESSAGE_ID=d9c795323eb34a18aa23c5e675687edd"
#define JOURNAL_ID_LOCK_BROKEN "MESSAGE_ID=7ab580a18c2741a0a1a3e5e0585002d7"
#define JOURNAL_ID_HOLDER_DIED "MESSAGE_ID=963687c9ca51437090aef0543a2c768a"
#define JOURNAL_ID_BACKEND_SUSPENDED "MESSAGE_ID=f3939ef09d2a4967bf850b2e7f5c24b5"
#define JOURNAL_ID_SESSION_LOST "MESSAGE_ID=9e6b2904859148a39d8c3a23c27762d4"
#define JOURNAL_ID_BACKEND_CONNECTED "MESSAGE_ID=6ca0bd9682874c75bef57bdcb207731e"
#define JOURNAL_ID_DEADLOCK "MESSAGE_ID=be109cd512da4ed6b776347ad61f0419"

/* Sets the sink: the journal when standard error is connected to it. */
void journal_log_open(void);

void journal_to_stderr(const LogRecord *record);
void journal_to_journal(const LogRecord *record);
