/* SPDX-License-Identifier: Apache-2.0 */
/* Log sink */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "sd/journal.h"

/* $JOURNAL_STREAM names the journal's end as device:inode; ours may have been redirected since. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char ours[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        return str_print(ours, sizeof(ours), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino) >= 0 &&
               streq(stream, ours);
}

static struct iovec iovec_text(const char *s) {
        return (struct iovec) { .iov_base = (char *) (uintptr_t) s, .iov_len = strlen(s) };
}

void journal_to_journal(const LogRecord *record) {
        char message[LOG_MESSAGE_SIZE + 16], priority[32], file[256], line[32], func[128];
        struct iovec iov[LOG_FIELDS_MAX + 6];
        int n = 0;

        (void) snprintf(message, sizeof(message), "MESSAGE=%s", record->message);
        (void) snprintf(priority, sizeof(priority), "PRIORITY=%d", (int) record->level);
        (void) snprintf(file, sizeof(file), "CODE_FILE=%s", record->file);
        (void) snprintf(line, sizeof(line), "CODE_LINE=%d", record->line);
        (void) snprintf(func, sizeof(func), "CODE_FUNC=%s", record->func);

        iov[n++] = iovec_text(message);
        iov[n++] = iovec_text(priority);
        iov[n++] = iovec_text("SYSLOG_IDENTIFIER=tooz-agent");
        iov[n++] = iovec_text(file);
        iov[n++] = iovec_text(line);
        iov[n++] = iovec_text(func);
        for (size_t i = 0; i < MIN(record->n_fields, (size_t) LOG_FIELDS_MAX); i++)
                iov[n++] = iovec_text(record->fields[i]);

        if (sd_journal_sendv(iov, n) < 0)
                log_to_stderr(record);
}

void journal_to_stderr(const LogRecord *record) {
        char when[TIME_TEXT_SIZE], prefix[TIME_TEXT_SIZE + 96], message[LOG_MESSAGE_SIZE];
        uint64_t now = time_now_realtime();
        struct iovec line[3];
        int n;

        n = snprintf(prefix, sizeof(prefix), "%s.%03u %.32s: %s%s", time_format_realtime(when, now),
                     (unsigned) (now % USEC_PER_SEC / USEC_PER_MSEC), program_invocation_short_name,
                     record->level <= LOG_LEVEL_WARNING ? log_level_to_string(record->level) : "",
                     record->level <= LOG_LEVEL_WARNING ? ": " : "");

        /* A message may quote what a client sent: it must not be able to start a line of its own. */
        (void) snprintf(message, sizeof(message), "%s", record->message);
        str_defuse(message, strlen(message));

        line[0] = (struct iovec) { .iov_base = prefix, .iov_len = (size_t) n };
        line[1] = iovec_text(message);
        line[2] = iovec_text("\n");
        if (writev(STDERR_FILENO, line, ARRAY_SIZE(line)) < 0)
                return; /* nowhere to complain */
}

void journal_log_open(void) {
        log_set_sink(stderr_is_journal() ? journal_to_journal : journal_to_stderr);
}
