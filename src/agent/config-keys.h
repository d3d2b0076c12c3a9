/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keys of the configuration, one row each: names, parser, place, default, documentation */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "agent/config.h"

typedef enum ConfigSection {
        CONFIG_TOP, /* before any section */
        CONFIG_AGENT,
        CONFIG_DOMAIN, /* [Domain NAME] */
        CONFIG_LIMITS,
        CONFIG_ACCESS, /* [Access NAME] */
        _CONFIG_SECTION_MAX,
} ConfigSection;

DECLARE_STRING_TABLE(config_section, ConfigSection); /* "", "Agent"… */

typedef struct ConfigKey ConfigKey;

/* One assignment that is being carried out. */
typedef struct ConfigAssignment {
        Config *config;
        ConfigErrors *errors;
        ConfigWhere where;
        const ConfigKey *key;
        const char *section_label; /* NAME of the section, or NULL */
        void *object;              /* Config, ConfigDomain or ConfigAccess that is assigned to */
        const char *value;
} ConfigAssignment;

/* `field` is at the row's offset in the object. 0; -EINVAL: complained; -ENOMEM. */
typedef int (*ConfigParseFn)(const ConfigAssignment *a, void *field);

struct ConfigKey {
        ConfigSection section;
        const char *name;
        ConfigParseFn parse;
        size_t offset;
        const char *fallback; /* the value when nothing, or an empty one, is given; NULL: unset */
        const char *sample;   /* shown in the example */
        const char *doc;      /* lines of at most 110 bytes */
};

/* The row, or NULL. */
const ConfigKey *config_key_find(ConfigSection section, const char *name);
/* The row whose name looks most like this one. */
const ConfigKey *config_key_nearest(ConfigSection section, const char *name);
/* The section that knows the key, or _CONFIG_SECTION_MAX. */
ConfigSection config_key_home(const char *name);

/* Sets every key of a section to its default. */
int config_keys_apply_fallbacks(Config *config, ConfigErrors *errors, ConfigSection section, void *object,
                                const char *label);
int config_key_assign(const ConfigAssignment *a);

/* The documentation of all keys, which is at the same time the example file. */
void config_keys_print(FILE *f);

bool config_section_is_named(ConfigSection section);
