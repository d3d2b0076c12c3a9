/* SPDX-License-Identifier: Apache-2.0 */
/* Log
 *
 * One process-wide sink and level, set by main() before anything else and by the reload: the only
 * mutable globals of the house. Only the thread of the loop logs. Errno is kept. */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

static const char *const log_level_table[_LOG_LEVEL_MAX] = {
        [LOG_LEVEL_EMERG] = "emerg",
        [LOG_LEVEL_ALERT] = "alert",
        [LOG_LEVEL_CRIT] = "crit",
        [LOG_LEVEL_ERROR] = "err",
        [LOG_LEVEL_WARNING] = "warning",
        [LOG_LEVEL_NOTICE] = "notice",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_DEBUG] = "debug",
};
DEFINE_STRING_TABLE(log_level, LogLevel, _LOG_LEVEL_MAX);

static LogSink log_sink = log_to_stderr;
static LogLevel log_max_level = LOG_LEVEL_INFO;

void log_set_sink(LogSink sink) {
        log_sink = sink ?: log_to_stderr;
}

void log_set_max_level(LogLevel level) {
        log_max_level = level;
}

LogLevel log_get_max_level(void) {
        return log_max_level;
}

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

void log_to_stderr(const LogRecord *record) {
        char prefix[64], message[LOG_MESSAGE_SIZE];
        struct iovec line[3];
        int n;

        if (stderr_is_journal())
                n = snprintf(prefix, sizeof(prefix), "<%d>", (int) record->level);
        else
                n = snprintf(prefix, sizeof(prefix), "%.32s: %s%s", program_invocation_short_name,
                             record->level <= LOG_LEVEL_WARNING ? log_level_to_string(record->level) : "",
                             record->level <= LOG_LEVEL_WARNING ? ": " : "");

        /* A message may quote what a client sent: it must not be able to start a line of its own. */
        (void) snprintf(message, sizeof(message), "%s", record->message);
        str_defuse(message, strlen(message));

        line[0] = (struct iovec) { .iov_base = prefix, .iov_len = (size_t) n };
        line[1] = (struct iovec) { .iov_base = message, .iov_len = strlen(message) };
        line[2] = (struct iovec) { .iov_base = (char[]) { '\n' }, .iov_len = 1 };
        if (writev(STDERR_FILENO, line, ARRAY_SIZE(line)) < 0)
                return; /* nowhere to complain */
}

static void log_emit(LogRecord *record, const char *suffix, const char *fmt, va_list ap) {
        char message[LOG_MESSAGE_SIZE];
        int saved = errno, n;

        n = vsnprintf(message, sizeof(message), fmt, ap);
        if (suffix && n >= 0 && (size_t) n < sizeof(message))
                (void) snprintf(message + n, sizeof(message) - (size_t) n, ": %s", suffix);

        record->message = n < 0 ? fmt : message;
        log_sink(record);
        errno = saved;
}

void log_full(LogLevel level, const char *file, int line, const char *func, const char *fmt, ...) {
        LogRecord record = { .level = level, .file = file, .line = line, .func = func };
        va_list ap;

        if (level > log_max_level)
                return;

        va_start(ap, fmt);
        log_emit(&record, NULL, fmt, ap);
        va_end(ap);
}

int log_full_errno(int error, LogLevel level, const char *file, int line, const char *func, const char *fmt, ...) {
        char field[LOG_FIELD_SIZE], text[128];
        const char *fields[] = { log_field_fill(field, "ERRNO", "%d", abs(error)) };
        LogRecord record = {
                .level = level, .file = file, .line = line, .func = func, .fields = fields, .n_fields = 1,
        };
        va_list ap;

        if (level <= log_max_level) {
                va_start(ap, fmt);
                log_emit(&record, strerror_r(abs(error), text, sizeof(text)), fmt, ap);
                va_end(ap);
        }
        return error;
}

void log_struct_full(LogLevel level, const char *file, int line, const char *func, ...) {
        const char *fields[LOG_FIELDS_MAX], *field;
        LogRecord record = { .level = level, .file = file, .line = line, .func = func, .fields = fields };
        va_list ap;

        if (level > log_max_level)
                return;

        va_start(ap, func);
        while ((field = va_arg(ap, const char *)))
                if (record.n_fields < LOG_FIELDS_MAX)
                        fields[record.n_fields++] = field;
        log_emit(&record, NULL, va_arg(ap, const char *), ap);
        va_end(ap);
}

const char *log_field_fill(char buf[static LOG_FIELD_SIZE], const char *key, const char *fmt, ...) {
        va_list ap;
        int n;

        n = snprintf(buf, LOG_FIELD_SIZE, "%s=", key);
        if (n >= 0 && n < LOG_FIELD_SIZE) {
                va_start(ap, fmt);
                (void) vsnprintf(buf + n, LOG_FIELD_SIZE - (size_t) n, fmt, ap);
                va_end(ap);
        }
        return buf;
}
