/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Configurations written down in a test */

#include <stdio.h>
#include <sys/stat.h>

#include "agent/config.h"
#include "base/fd.h"
#include "base/str.h"
#include "support/kit.h"

typedef struct ConfigKit {
        ConfigSource source;
        Config *config;
        ConfigErrors errors;
} ConfigKit;

static inline const char *config_kit_write(const char *path, const char *text) {
        kit_ok(file_write_atomic(path, text, strlen(text), 0600));
        return path;
}

static inline void config_kit_done(ConfigKit *kit) {
        config_free(kit->config);
        config_errors_done(&kit->errors);
}

/* Loads one file with this text; config_kit_done() must follow. */
static inline int config_kit_load(ConfigKit *kit, const char *text) {
        *kit = (ConfigKit) { .source = { .file = config_kit_write(kit_path("x"), text) } };
        return config_load(&kit->config, &kit->source, &kit->errors);
}

/* The errors without the folder's name, each with a newline. */
static inline char *config_kit_errors(const ConfigKit *kit) {
        char *all = strdup("");

        for (size_t i = 0; i < kit->errors.n_lines; i++) {
                const char *line = kit->errors.lines[i];
                const char *rest = str_skip_prefix(line, kit_folder());
                char *longer = strjoin(all, rest ? rest + 1 : line, "\n");

                cr_assert_not_null(longer);
                free(all);
                all = longer;
        }
        return all;
}

/* That this text is refused with exactly these errors. */
#define config_kit_refuses(text, expected)                                    \
        ({                                                                    \
                ConfigKit _kit;                                               \
                char *_all;                                                   \
                kit_fails(config_kit_load(&_kit, text), -EINVAL);             \
                _all = config_kit_errors(&_kit);                              \
                kit_streq(_all, expected);                                    \
                cr_assert_null(_kit.config);                                  \
                free(_all);                                                   \
                config_kit_done(&_kit);                                       \
        })
