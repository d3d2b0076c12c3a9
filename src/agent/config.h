/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Configuration: what the files, the credentials and the command line say, checked as a whole */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/log.h"
#include "base/macro.h"
#include "core/quota.h"
#include "loop/loop.h"

/* Where something was said: a file and its line, or an option of the command line (line 0). */
typedef struct ConfigWhere {
        const char *origin; /* lives as long as the Config */
        unsigned line;
} ConfigWhere;

/* [Domain NAME] */
typedef struct ConfigDomain {
        ListLink link;
        char *name;
        ConfigWhere where;
        bool has_section; /* not only the URL= before any section */
        bool has_url;     /* one was given, right or wrong */
        ConfigWhere time_where; /* of the last of SessionTimeoutSec= and TickSec= */
        char *servers;          /* "host:port,host:port"; NULL: no URL= */
        char *chroot;           /* "/…" or "" */
        char *namespace_;
        uint64_t session_timeout_usec;
        uint64_t tick_usec;
        char *auth_scheme; /* NULL: none */
        char *auth;        /* a secret */
        bool acl_private;
        bool tls; /* refused when set: kept so that the row has a field */
        bool sasl;
} ConfigDomain;

/* [Access NAME] */
typedef struct ConfigAccess {
        ListLink link;
        char *name;
        ConfigWhere where;
        ConfigWhere domain_where;
        bool has_uid, has_gid;
        uid_t uid;
        gid_t gid;
        char *domain;    /* NULL: any */
        char *name_glob; /* NULL: any */
        bool has_allow;
        unsigned allow; /* 1 << AccessVerb */
} ConfigAccess;

typedef struct Config {
        List origins; /* paths of the files that were read, kept for ConfigWhere */
        char *node_name;
        char *bus_address;     /* NULL: the system bus; "none" */
        char *socket_path;     /* or "none" */
        unsigned socket_mode;
        char *state_directory; /* NULL: nothing is kept */
        char *arena;           /* or "none" */
        LogLevel log_level;
        LoopKind loop_kind;
        unsigned limits[_QUOTA_KIND_MAX];
        List domains; /* ConfigDomain, in order of appearance */
        List access;  /* ConfigAccess, likewise */
} Config;

/* All that is wrong, one line each, for people. */
typedef struct ConfigErrors {
        char **lines;
        size_t n_lines;
        size_t n_left_out; /* beyond the limit, or for want of memory */
} ConfigErrors;

#define CONFIG_ERRORS_MAX 100

/* A key of [Agent] given otherwise than by a file. */
typedef struct ConfigOverride {
        const char *origin; /* "--socket=" */
        const char *key;
        const char *value;
} ConfigOverride;

#define CONFIG_OVERRIDES_MAX 8

/* Where to look. Strings are borrowed. */
typedef struct ConfigSource {
        const char *file;           /* replaces all others; NULL: the usual places */
        const char *directories[4]; /* those places, most important first, NULL at the end */
        const char *credentials;    /* $CREDENTIALS_DIRECTORY or NULL */
        const char *state_directory; /* $STATE_DIRECTORY or NULL */
        ConfigOverride overrides[CONFIG_OVERRIDES_MAX];
        size_t n_overrides;
} ConfigSource;

/* The usual places and the environment. */
void config_source_init(ConfigSource *source);
/* The last one for a key counts. */
void config_source_override(ConfigSource *source, const char *origin, const char *key, const char *value);

/* Reads and checks everything and changes nothing. -EINVAL: the configuration is wrong; -ENOENT, -EACCES…: a file
 * can't be read. `errors` then tells, and must be empty before. */
int config_load(Config **ret, const ConfigSource *source, ConfigErrors *errors);
Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free);

ConfigDomain *config_find_domain(const Config *config, const char *name);
ConfigAccess *config_find_access(const Config *config, const char *name);

/* The section of that name, made with its defaults when it is new. 0 or -ENOMEM. */
int config_get_domain(Config *config, const char *name, ConfigWhere where, ConfigDomain **ret);
int config_get_access(Config *config, const char *name, ConfigWhere where, ConfigAccess **ret);

/* A copy of the path that lives as long as the Config; NULL without memory. */
const char *config_keep_origin(Config *config, const char *path);

void config_errors_done(ConfigErrors *errors);
