/* SPDX-License-Identifier: Apache-2.0 */
/* Which files are read, and in which order */

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config-file.h"
#include "agent/config-files.h"
#include "agent/config-parse.h"
#include "base/str.h"

#define CONFIG_FILE "agent.conf"
#define CONFIG_DROPINS "agent.conf.d"
#define DROPINS_MAX 256

static int config_read_one(Config *config, ConfigErrors *errors, const char *path) {
        const char *origin = config_keep_origin(config, path);
        int r;

        if (!origin)
                return -ENOMEM;
        r = config_file_read(config, errors, origin);
        if (r < 0 && r != -ENOMEM)
                (void) config_errors_add(errors, "%s: %s", path, strerror(-r));
        return r;
}

/* The first of the directories that has it. 1: read, 0: none has. */
static int config_read_first(Config *config, ConfigErrors *errors, const char *const *directories, const char *name) {
        int r;

        for (; *directories; directories++) {
                _cleanup_free_ char *path = strjoin(*directories, "/", name);

                if (!path)
                        return -ENOMEM;
                if (access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
                        continue;
                r = config_read_one(config, errors, path);
                return r < 0 ? r : 1;
        }
        return 0;
}

static int is_dropin(const struct dirent *entry) {
        return entry->d_name[0] != '.' && str_ends_with(entry->d_name, ".conf");
}

typedef struct Names {
        char *names[DROPINS_MAX];
        size_t n;
} Names;

static void names_done(Names *names) {
        while (names->n > 0)
                free(names->names[--names->n]);
}

static int names_add(Names *names, const char *name) {
        for (size_t i = 0; i < names->n; i++)
                if (streq(names->names[i], name))
                        return 0;
        if (names->n == DROPINS_MAX)
                return -E2BIG;
        names->names[names->n] = strdup(name);
        if (!names->names[names->n])
                return -ENOMEM;
        names->n++;
        return 0;
}

static int names_add_directory(Names *names, const char *directory) {
        struct dirent **entries = NULL;
        int n, r = 0;

        n = scandir(directory, &entries, is_dropin, NULL);
        if (n < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = names_add(names, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return r;
}

static int names_compare(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int config_read_dropins(Config *config, ConfigErrors *errors, const char *const *directories) {
        _cleanup_(names_done) Names names = {};
        int r;

        for (const char *const *d = directories; *d; d++) {
                _cleanup_free_ char *path = strjoin(*d, "/" CONFIG_DROPINS);

                r = path ? names_add_directory(&names, path) : -ENOMEM;
                if (r < 0) {
                        (void) config_errors_add(errors, "%s: %s", path ?: *d, strerror(-r));
                        return r;
                }
        }
        if (names.n > 0)
                qsort(names.names, names.n, sizeof(names.names[0]), names_compare);

        for (size_t i = 0; i < names.n; i++) {
                _cleanup_free_ char *path = strjoin(CONFIG_DROPINS "/", names.names[i]);

                r = path ? config_read_first(config, errors, directories, path) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

int config_read_files(Config *config, ConfigErrors *errors, const ConfigSource *source) {
        int r;

        if (source->file)
                return config_read_one(config, errors, source->file);
        r = config_read_first(config, errors, source->directories, CONFIG_FILE);
        if (r < 0)
                return r;
        return config_read_dropins(config, errors, source->directories);
}
