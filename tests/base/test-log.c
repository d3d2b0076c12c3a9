/* SPDX-License-Identifier: Apache-2.0 */
/* The log: levels, fields, and lines that a client can't forge */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "support/kit.h"

static struct {
        unsigned n;
        LogLevel level;
        char message[LOG_MESSAGE_SIZE];
        char fields[1024];
        size_t n_fields;
} seen;

static void remember(const LogRecord *record) {
        char *end = seen.fields;

        seen.n++;
        seen.level = record->level;
        seen.n_fields = record->n_fields;
        kit_ok(str_copy(seen.message, sizeof(seen.message), record->message));
        for (size_t i = 0; i < record->n_fields && i < 4; i++)
                end = stpcpy(stpcpy(end, record->fields[i]), ";");
        cr_assert_not_null(strstr(record->file, "test-log.c"));
        cr_assert_gt(record->line, 0);
        errno = EIO; /* a sink may change it */
}

KIT_SUITE(log);

Test(log, levels) {
        log_set_sink(remember);
        log_set_max_level(LOG_LEVEL_NOTICE);
        cr_assert_eq(log_get_max_level(), LOG_LEVEL_NOTICE);

        log_info("not this");
        log_debug("nor this");
        cr_assert_eq(seen.n, 0);
        cr_assert_eq(log_debug_errno(-EPERM, "nor this"), -EPERM);
        cr_assert_eq(seen.n, 0);

        errno = ENOENT;
        log_notice("lock %s", "a");
        cr_assert_eq(errno, ENOENT);
        cr_assert_eq(seen.n, 1);
        cr_assert_eq(seen.level, LOG_LEVEL_NOTICE);
        kit_streq(seen.message, "lock a");

        log_set_max_level(LOG_LEVEL_DEBUG);
        log_debug("now");
        kit_streq(seen.message, "now");
        log_warning("w");
        cr_assert_eq(seen.level, LOG_LEVEL_WARNING);
        log_error("e");
        cr_assert_eq(seen.level, LOG_LEVEL_ERROR);
}

Test(log, errors_are_returned) {
        log_set_sink(remember);
        cr_assert_eq(log_error_errno(-ENOENT, "Can't open %s", "x"), -ENOENT);
        kit_streq(seen.message, "Can't open x: No such file or directory");
        kit_streq(seen.fields, "ERRNO=2;");
}

Test(log, fields) {
        log_set_sink(remember);
        log_struct(LOG_LEVEL_INFO, "TOOZ_LOCK=a", log_field("TOOZ_TOKEN", "%d", 7), NULL, "grant %d of %s", 1, "a");
        kit_streq(seen.message, "grant 1 of a");
        kit_streq(seen.fields, "TOOZ_LOCK=a;TOOZ_TOKEN=7;");

        log_struct(LOG_LEVEL_INFO, NULL, "plain");
        cr_assert_eq(seen.n_fields, 0);
        log_struct(LOG_LEVEL_INFO, "A=", "A=", "A=", "A=", "A=", "A=", "A=", "A=", "A=", "A=", "A=", "A=", "A=", "A=",
                   "A=", "A=", "A=", "A=", NULL, "%s", "many");
        cr_assert_eq(seen.n_fields, LOG_FIELDS_MAX);
        kit_streq(seen.message, "many");
}

Test(log, long_texts_are_cut) {
        char text[LOG_MESSAGE_SIZE * 2];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        log_set_sink(remember);
        log_error("%s", text);
        cr_assert_eq(strlen(seen.message), LOG_MESSAGE_SIZE - 1);
        cr_assert_eq(strlen(log_field("KEY", "%s", text)), LOG_FIELD_SIZE - 1);
}

/* What standard error receives while `speak` runs. */
static char *captured(void (*speak)(void)) {
        _cleanup_close_ int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), fd = -1;
        const char *path = kit_path("stderr");
        char *text = NULL;
        size_t len;

        fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
        kit_ok(fd);
        kit_ok(dup2(fd, STDERR_FILENO));
        speak();
        kit_ok(dup2(saved, STDERR_FILENO));
        kit_ok(file_read(path, 4096, &text, &len));
        return text;
}

static void speak_plainly(void) {
        log_warning("two\nlines");
        log_info("one");
}

Test(log, standard_error) {
        _cleanup_free_ char *text = NULL, *expected = NULL;

        unsetenv("JOURNAL_STREAM");
        text = captured(speak_plainly);
        expected = strjoin(program_invocation_short_name, ": warning: two?lines\n", program_invocation_short_name,
                           ": one\n");
        kit_streq(text, expected);
}

static void speak_to_the_journal(void) {
        char stream[64];
        struct stat st;

        kit_ok(fstat(STDERR_FILENO, &st));
        kit_ok(str_print(stream, sizeof(stream), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino));
        setenv("JOURNAL_STREAM", stream, true);
        log_warning("w");
        setenv("JOURNAL_STREAM", "0:0", true);
        log_info("elsewhere");
}

Test(log, journal_prefix) {
        _cleanup_free_ char *text = captured(speak_to_the_journal), *expected = NULL;

        expected = strjoin("<4>w\n", program_invocation_short_name, ": elsewhere\n");
        kit_streq(text, expected);
}

Test(log, level_names) {
        for (int i = 0; i < _LOG_LEVEL_MAX; i++)
                cr_assert_eq(log_level_from_string(log_level_to_string((LogLevel) i)), i);
        kit_fails(log_level_from_string("loud"), -EINVAL);
        kit_fails(log_level_from_string(NULL), -EINVAL);
        cr_assert_null(log_level_to_string(_LOG_LEVEL_MAX));
        cr_assert_null(log_level_to_string((LogLevel) -1));
}
