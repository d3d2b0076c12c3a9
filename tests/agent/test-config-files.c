/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: which files count, the command line, the credential, the example */

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config-keys.h"
#include "config-kit.h"

KIT_SUITE(config_files);

/* The three places, as folders of the test. */
static void make_places(ConfigKit *kit) {
        *kit = (ConfigKit) { .source.directories = { kit_path("etc"), kit_path("run"), kit_path("usr") } };
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_free_ char *dropins = strjoin(kit->source.directories[i], "/agent.conf.d");

                kit_ok(mkdir(kit->source.directories[i], 0700));
                kit_ok(mkdir(dropins, 0700));
        }
}

static void put(const char *path, const char *key, const char *value) {
        _cleanup_free_ char *text = str_format("[Agent]\n%s=%s\n", key, value);

        config_kit_write(kit_path(path), text);
}

static Config *load(ConfigKit *kit) {
        config_free(TAKE_PTR(kit->config));
        kit_ok(config_load(&kit->config, &kit->source, &kit->errors));
        return kit->config;
}

Test(config_files, none_is_fine) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        kit_streq(load(&kit)->socket_path, "/run/tooz/agent.sock");
}

Test(config_files, the_most_important_main_file) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        put("usr/agent.conf", "Socket", "/usr");
        kit_streq(load(&kit)->socket_path, "/usr");
        put("run/agent.conf", "NodeName", "run");
        kit_streq(load(&kit)->node_name, "run");
        kit_streq(load(&kit)->socket_path, "/run/tooz/agent.sock");
        put("etc/agent.conf", "NodeName", "etc");
        kit_streq(load(&kit)->node_name, "etc");
}

Test(config_files, dropins_override_in_order_of_names) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        put("etc/agent.conf", "Socket", "/main");
        put("usr/agent.conf.d/50-b.conf", "Socket", "/usr-b");
        kit_streq(load(&kit)->socket_path, "/usr-b");
        put("etc/agent.conf.d/10-a.conf", "Socket", "/etc-a");
        kit_streq(load(&kit)->socket_path, "/usr-b");
        put("run/agent.conf.d/50-b.conf", "Socket", "/run-b");
        kit_streq(load(&kit)->socket_path, "/run-b");
        put("etc/agent.conf.d/50-b.conf", "NodeName", "etc-b");
        kit_streq(load(&kit)->socket_path, "/etc-a");
        put("etc/agent.conf.d/99-z.conf.bak", "Socket", "/bak");
        put("etc/agent.conf.d/.99-hidden.conf", "Socket", "/hidden");
        kit_streq(load(&kit)->socket_path, "/etc-a");
}

Test(config_files, an_empty_dropin_hides) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        put("usr/agent.conf.d/a.conf", "Socket", "/a");
        kit_ok(symlink("/dev/null", kit_path("etc/agent.conf.d/a.conf")));
        kit_streq(load(&kit)->socket_path, "/run/tooz/agent.sock");
}

Test(config_files, dropins_add_to_sections) {
        _cleanup_(config_kit_done) ConfigKit kit;
        ConfigDomain *d;

        make_places(&kit);
        config_kit_write(kit_path("etc/agent.conf"), "URL=zookeeper://a/\n");
        config_kit_write(kit_path("etc/agent.conf.d/a.conf"), "[Domain cluster]\nNamespace=/x\n");
        config_kit_write(kit_path("etc/agent.conf.d/b.conf"), "URL=zookeeper://b/\n");
        d = config_find_domain(load(&kit), "cluster");
        kit_streq(d->servers, "b:2181");
        kit_streq(d->namespace_, "/x");
}

Test(config_files, errors_name_their_file) {
        _cleanup_(config_kit_done) ConfigKit kit;
        char *all;

        make_places(&kit);
        config_kit_write(kit_path("etc/agent.conf"), "x\n");
        config_kit_write(kit_path("run/agent.conf.d/a.conf"), "\ny\n");
        kit_fails(config_load(&kit.config, &kit.source, &kit.errors), -EINVAL);
        all = config_kit_errors(&kit);
        kit_streq(all, "etc/agent.conf:1: is no assignment: Key=value is the form, and '#' begins a comment\n"
                       "run/agent.conf.d/a.conf:2: is no assignment: Key=value is the form, and '#' begins a comment\n");
        free(all);
}

Test(config_files, one_file_replaces_all) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        put("etc/agent.conf", "Socket", "/etc");
        put("mine", "NodeName", "mine");
        kit.source.file = kit_path("mine");
        kit_streq(load(&kit)->socket_path, "/run/tooz/agent.sock");
        kit_streq(load(&kit)->node_name, "mine");
}

Test(config_files, a_file_that_can_not_be_read) {
        ConfigKit kit = { .source.file = kit_path("absent") };
        char *all;

        kit_fails(config_load(&kit.config, &kit.source, &kit.errors), -ENOENT);
        all = config_kit_errors(&kit);
        kit_streq(all, "absent: No such file or directory\n");
        free(all);
        config_kit_done(&kit);

        kit = (ConfigKit) { .source.file = kit_folder() };
        kit_fails(config_load(&kit.config, &kit.source, &kit.errors), -EISDIR);
        cr_assert_eq(kit.errors.n_lines, 1);
        config_kit_done(&kit);
}

Test(config_files, command_line_overrides) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        put("etc/agent.conf", "Loop", "epoll");
        config_source_override(&kit.source, "$TOOZ_LOOP", "Loop", "io_uring");
        cr_assert_eq(load(&kit)->loop_kind, LOOP_URING);
        for (unsigned i = 0; i < 100; i++)
                config_source_override(&kit.source, "--loop=", "Loop", "auto");
        cr_assert_eq(load(&kit)->loop_kind, LOOP_AUTO);

        config_source_override(&kit.source, "--loop=", "Loop", "fast");
        kit_fails(config_load(&kit.config, &kit.source, &kit.errors), -EINVAL);
        kit_streq(kit.errors.lines[0], "--loop=: \"fast\" is not an event loop: auto, io_uring or epoll would be");
}

Test(config_files, state_directory_of_the_environment) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        kit.source.state_directory = "/var/lib/tooz:/var/lib/other";
        kit_streq(load(&kit)->state_directory, "/var/lib/tooz");
        put("etc/agent.conf", "StateDirectory", "/mine");
        kit_streq(load(&kit)->state_directory, "/mine");
}

Test(config_files, credential) {
        _cleanup_(config_kit_done) ConfigKit kit;

        make_places(&kit);
        kit.source.credentials = kit_folder();
        config_kit_write(kit_path("etc/agent.conf"), "URL=zookeeper://a\n"
                                                     "[Domain cluster]\nACL=private\n"
                                                     "[Domain own]\nURL=zookeeper://b\nAuth=digest:me:mine\n");
        config_kit_write(kit_path("zookeeper.auth"), "digest:tooz:from the store\n");
        kit_streq(config_find_domain(load(&kit), "cluster")->auth, "tooz:from the store");
        kit_streq(config_find_domain(kit.config, "own")->auth, "me:mine");

        config_kit_write(kit_path("zookeeper.auth"), "tooz:from the store\n");
        kit_fails(config_load(&kit.config, &kit.source, &kit.errors), -EINVAL);
        cr_assert_null(strstr(kit.errors.lines[0], "store\""));
        cr_assert_not_null(strstr(kit.errors.lines[0], "/zookeeper.auth: is not what ZooKeeper can be told"));
}

/* --- the example ---------------------------------------------------------------------------------- */

static char *print_keys(void) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        cr_assert_not_null(f);
        config_keys_print(f);
        cr_assert_eq(fclose(f), 0);
        return text;
}

/* It is checked in so that it can be installed and read without a build. */
Test(config_files, the_example_is_what_help_config_prints) {
        _cleanup_free_ char *printed = print_keys(), *path = NULL, *example = NULL;

        path = strjoin(getenv("srcdir") ?: "..", "/systemd/agent.conf");
        kit_ok(file_read(path, 1 << 20, &example, NULL));
        cr_assert(streq(example, printed), "systemd/agent.conf is not what `tooz-agent --help-config` prints: update it");
}

/* Every line of it, uncommented, is accepted where it stands; what is no key stays a comment. */
Test(config_files, the_example_is_right) {
        _cleanup_free_ char *printed = print_keys();
        _cleanup_(config_kit_done) ConfigKit kit;
        size_t n = 0;

        for (char *p = printed; p; p = strchr(p + 1, '\n')) {
                char *line = *p == '\n' ? p + 1 : p;

                if (line[0] != '#' || line[1] == ' ' || line[1] == '\n')
                        continue;
                line[0] = ' ';
                n++;
                /* what exists on no test machine, or is refused without its counterpart */
                if (str_skip_prefix(line + 1, "User=") || str_skip_prefix(line + 1, "Group="))
                        memset(strchr(line, '=') + 1, ' ', strcspn(strchr(line, '=') + 1, "\n"));
        }
        cr_assert_gt(n, 25);
        {
                int r = config_kit_load(&kit, printed);

                cr_assert_eq(r, 0, "%s", kit.errors.n_lines > 0 ? kit.errors.lines[0] : strerror(-r));
        }
        kit_streq(config_find_domain(kit.config, "cluster")->servers, "zk1:2181,zk2:2181,zk3:2181");
        kit_streq(config_find_access(kit.config, "backups")->name_glob, "backup/*");
}
