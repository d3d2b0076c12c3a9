/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: words, options, what belongs to the command */

#include "base/str.h"
#include "base/time.h"
#include "ctl/options.h"
#include "support/kit.h"

KIT_SUITE(options);

static bool takes_command(const char *verb) {
        return streq(verb, "lock");
}

static Options parsed;

static int parse(const char *const *words) {
        static char *argv[32];
        int argc = 1;

        argv[0] = (char *) (uintptr_t) "toozctl";
        for (; words[argc - 1]; argc++)
                argv[argc] = (char *) (uintptr_t) words[argc - 1];
        argv[argc] = NULL;
        options_done(&parsed);
        return options_parse(&parsed, argc, argv, takes_command);
}
#define PARSE(...) parse((const char *const[]) { __VA_ARGS__, NULL })

static void expect_command(const char *first, const char *second) {
        cr_assert_not_null(parsed.command);
        kit_streq(parsed.command[0], first);
        if (second)
                kit_streq(parsed.command[1], second);
        else
                cr_assert_null(parsed.command[1]);
}

Test(options, nothing_is_no_verb) {
        kit_ok(parse((const char *const[]) { NULL }));
        cr_assert_null(parsed.verb);
        cr_assert_eq(parsed.wait_usec, USEC_INFINITY);
        cr_assert_eq(parsed.conflict_exit, -1);
        options_done(&parsed);
}

Test(options, options_stand_anywhere_before_the_command) {
        kit_ok(PARSE("-l", "lock", "-w", "5", "backup", "-s", "--", "sleep", "1"));
        kit_streq(parsed.verb, "lock");
        kit_streq(parsed.args[0], "backup");
        cr_assert_eq(parsed.n_args, 1);
        kit_streq(parsed.domain, "node");
        cr_assert_eq(parsed.wait_usec, 5 * USEC_PER_SEC);
        cr_assert_eq(parsed.mode, TOOZ_LOCK_SHARED);
        expect_command("sleep", "1");
        options_done(&parsed);
}

Test(options, the_command_keeps_its_options) {
        kit_ok(PARSE("lock", "a", "echo", "-n"));
        expect_command("echo", "-n");
        cr_assert_eq(parsed.wait_usec, USEC_INFINITY);
        kit_ok(PARSE("lock", "a", "--", "-x", "--"));
        expect_command("-x", "--");
        cr_assert_eq(parsed.mode, TOOZ_LOCK_EXCLUSIVE);
        kit_ok(PARSE("lock", "--", "a", "-s", "x"));
        kit_streq(parsed.args[0], "a");
        expect_command("-s", "x");
        cr_assert_eq(parsed.mode, TOOZ_LOCK_EXCLUSIVE);
        options_done(&parsed);
}

Test(options, a_shell_command_before_and_behind_the_name) {
        kit_ok(PARSE("lock", "a", "-c", "echo --"));
        kit_streq(parsed.shell, "echo --");
        cr_assert_null(parsed.command);
        kit_ok(PARSE("lock", "-c", "--", "a"));
        kit_streq(parsed.shell, "--");
        kit_streq(parsed.args[0], "a");
        kit_fails(PARSE("lock", "-c", "x", "a", "--", "y"), -EINVAL);
        options_done(&parsed);
}

Test(options, other_verbs_take_options_behind_their_words) {
        kit_ok(PARSE("break-lock", "a", "--token=18446744073709551615", "--force"));
        cr_assert_eq(parsed.token, UINT64_MAX);
        cr_assert(parsed.has_token && parsed.force);
        kit_ok(PARSE("list-locks", "a*", "-j", "b", "--no-legend"));
        cr_assert_eq(parsed.n_args, 2);
        kit_streq(parsed.args[1], "b");
        cr_assert_null(parsed.args[2]);
        cr_assert_eq(parsed.json, JSON_SHORT);
        cr_assert_not(parsed.legend);
        kit_ok(PARSE("lock-status", "--", "-j", "--help"));
        cr_assert_eq(parsed.n_args, 2);
        cr_assert_not(parsed.help);
        options_done(&parsed);
}

Test(options, times) {
        kit_ok(PARSE("lock", "-w", "0.05", "--kill-after=100ms", "a"));
        cr_assert_eq(parsed.wait_usec, 50 * USEC_PER_MSEC);
        cr_assert_eq(parsed.kill_after_usec, 100 * USEC_PER_MSEC);
        kit_ok(PARSE("lock", "-n", "a"));
        cr_assert_eq(parsed.wait_usec, 0);
        kit_fails(PARSE("lock", "-w", "soon", "a"), -EINVAL);
        options_done(&parsed);
}

Test(options, a_status_has_8_bits) {
        kit_ok(PARSE("lock", "-E", "255", "a"));
        cr_assert_eq(parsed.conflict_exit, 255);
        kit_ok(PARSE("lock", "-E0", "a"));
        cr_assert_eq(parsed.conflict_exit, 0);
        kit_fails(PARSE("lock", "-E", "256", "a"), -EINVAL);
        kit_fails(PARSE("lock", "-E", "-1", "a"), -EINVAL);
        options_done(&parsed);
}

Test(options, what_is_wrong_is_refused) {
        kit_fails(PARSE("lock", "--no-such-option"), -EINVAL);
        kit_fails(PARSE("lock", "-Z", "a"), -EINVAL);
        kit_fails(PARSE("lock", "-w"), -EINVAL);
        kit_fails(PARSE("break-lock", "a", "--token=1x"), -EINVAL);
        kit_fails(PARSE("list", "--json=yaml"), -EINVAL);
        kit_fails(PARSE("lock", "--on-lost=pray", "a"), -EINVAL);
        kit_streq(parsed.verb, "lock"); /* known before the error: it decides the status */
        options_done(&parsed);
}
