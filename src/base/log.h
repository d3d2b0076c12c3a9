/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Log of the programs: a level, a message, fields. Libraries return errors instead */

#include <stddef.h>

#include "base/macro.h"
#include "base/table.h"

/* Numbers of syslog. */
typedef enum LogLevel {
        LOG_LEVEL_EMERG,
        LOG_LEVEL_ALERT,
        LOG_LEVEL_CRIT,
        LOG_LEVEL_ERROR,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_NOTICE,
        LOG_LEVEL_INFO,
        LOG_LEVEL_DEBUG,
        _LOG_LEVEL_MAX,
} LogLevel;

DECLARE_STRING_TABLE(log_level, LogLevel); /* the names that systemd uses: emerg .. debug */

#define LOG_FIELDS_MAX 16    /* in one record: more are left out */
#define LOG_FIELD_SIZE 512   /* of one field made by log_field() */
#define LOG_MESSAGE_SIZE 2048

typedef struct LogRecord {
        LogLevel level;
        const char *file;
        int line;
        const char *func;
        const char *message;
        const char *const *fields; /* "KEY=value" each */
        size_t n_fields;
} LogRecord;

typedef void (*LogSink)(const LogRecord *record);

void log_set_sink(LogSink sink); /* NULL: standard error */
void log_set_max_level(LogLevel level);
LogLevel log_get_max_level(void);

/* Standard error, with a <N> prefix when that is the journal. */
void log_to_stderr(const LogRecord *record);

void log_full(LogLevel level, const char *file, int line, const char *func, const char *fmt, ...) _printf_(5, 6);
int log_full_errno(int error, LogLevel level, const char *file, int line, const char *func, const char *fmt, ...)
        _printf_(6, 7);
void log_struct_full(LogLevel level, const char *file, int line, const char *func, ...);
const char *log_field_fill(char buf[static LOG_FIELD_SIZE], const char *key, const char *fmt, ...) _printf_(3, 4);

/* The arguments are not evaluated when nobody listens. */
#define log_at(level, ...)                                                                    \
        do {                                                                                  \
                if ((level) <= log_get_max_level())                                           \
                        log_full(level, __FILE__, __LINE__, __func__, __VA_ARGS__);           \
        } while (0)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_notice(...) log_at(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)

/* Adds ": <text of the error>" and returns the error: `return log_error_errno(r, "Can't open %s", path);` */
#define log_debug_errno(r, ...) log_full_errno(r, LOG_LEVEL_DEBUG, __FILE__, __LINE__, __func__, __VA_ARGS__)
#define log_warning_errno(r, ...) log_full_errno(r, LOG_LEVEL_WARNING, __FILE__, __LINE__, __func__, __VA_ARGS__)
#define log_error_errno(r, ...) log_full_errno(r, LOG_LEVEL_ERROR, __FILE__, __LINE__, __func__, __VA_ARGS__)

/* log_struct(level, field, .., NULL, fmt, ..): a NULL ends the fields. */
#define log_struct(level, ...)                                                                \
        do {                                                                                  \
                if ((level) <= log_get_max_level())                                           \
                        log_struct_full(level, __FILE__, __LINE__, __func__, __VA_ARGS__);    \
        } while (0)

/* A field that lives as long as the block around it: log_struct(l, log_field("TOOZ_LOCK", "%s", name), NULL, ..). */
#define log_field(key, ...) log_field_fill((char[LOG_FIELD_SIZE]) {}, key, __VA_ARGS__)
