/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of values
 *
 * Each is called for a value that was given, and for the row's fallback; an empty value without a fallback unsets.
 * A parser that complains leaves its field as it was. Secrets are never quoted. */

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "agent/config-parse.h"
#include "agent/config-url.h"
#include "base/str.h"
#include "base/time.h"
#include "core/access.h"

/* --- complaints ----------------------------------------------------------------------------------- */

static int errors_take(ConfigErrors *errors, char *line) {
        char **lines;

        lines = line && errors->n_lines < CONFIG_ERRORS_MAX
                        ? realloc(errors->lines, (errors->n_lines + 1) * sizeof(*lines)) : NULL;
        if (!lines) {
                free(line);
                errors->n_left_out++;
                return -EINVAL;
        }
        str_defuse(line, strlen(line));
        lines[errors->n_lines++] = line;
        errors->lines = lines;
        return -EINVAL;
}

int config_errors_add(ConfigErrors *errors, const char *fmt, ...) {
        char *line;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&line, fmt, ap) < 0)
                line = NULL;
        va_end(ap);
        return errors_take(errors, line);
}

void config_print_header(char buf[static CONFIG_HEADER_SIZE], ConfigSection section, const char *label) {
        if (section == CONFIG_TOP)
                buf[0] = 0;
        else
                (void) snprintf(buf, CONFIG_HEADER_SIZE, "[%s%s%s] ", config_section_to_string(section),
                                label ? " " : "", label ?: "");
}

int config_complain(const ConfigAssignment *a, const char *fmt, ...) {
        char header[CONFIG_HEADER_SIZE], text[1024];
        va_list ap;

        va_start(ap, fmt);
        (void) vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);

        if (a->where.line == 0)
                return config_errors_add(a->errors, "%s: %s", a->where.origin, text);
        config_print_header(header, a->key->section, a->section_label);
        return config_errors_add(a->errors, "%s:%u: %s%s=: %s", a->where.origin, a->where.line, header, a->key->name,
                                 text);
}

/* --- [Agent] -------------------------------------------------------------------------------------- */

static int assign_string(char **field, const char *value) {
        return strdup_to(field, *value ? value : NULL);
}

int config_parse_node_name(const ConfigAssignment *a, void *field) {
        if (strlen(a->value) > 64 || !str_is_printable_ascii(a->value, strlen(a->value)) || strchr(a->value, ' '))
                return config_complain(a, "\"%s\" is not a name for a host: 1 to 64 printable ASCII characters "
                                          "without blanks would be", a->value);
        return assign_string(field, a->value);
}

int config_parse_bus_address(const ConfigAssignment *a, void *field) {
        if (*a->value && !streq(a->value, "none") && !strchr(a->value, ':'))
                return config_complain(a, "\"%s\" is not an address: unix:path=/run/dbus/system_bus_socket would be, "
                                          "or none", a->value);
        return assign_string(field, a->value);
}

int config_parse_socket(const ConfigAssignment *a, void *field) {
        if (!streq(a->value, "none") &&
            (a->value[0] != '/' || strlen(a->value) >= sizeof(((struct sockaddr_un *) NULL)->sun_path)))
                return config_complain(a, "\"%s\" is not a path for a socket: an absolute one of at most 107 bytes "
                                          "would be, or none", a->value);
        return assign_string(field, a->value);
}

int config_parse_arena(const ConfigAssignment *a, void *field) {
        if (!streq(a->value, "none") && (a->value[0] != '/' || strlen(a->value) >= PATH_MAX))
                return config_complain(a, "\"%s\" is not a path for an arena: an absolute one would be, or none", a->value);
        return assign_string(field, a->value);
}

int config_parse_directory(const ConfigAssignment *a, void *field) {
        if (*a->value && a->value[0] != '/')
                return config_complain(a, "\"%s\" is not an absolute path", a->value);
        return assign_string(field, a->value);
}

int config_parse_mode(const ConfigAssignment *a, void *field) {
        unsigned mode = 0;
        const char *p = a->value;

        for (; *p >= '0' && *p <= '7' && mode <= 0777; p++)
                mode = mode * 8 + (unsigned) (*p - '0');
        if (*p || p == a->value || mode > 0777)
                return config_complain(a, "\"%s\" is not an access mode: octal digits up to 0777 would be", a->value);
        *(unsigned *) field = mode;
        return 0;
}

int config_parse_log_level(const ConfigAssignment *a, void *field) {
        int level = streq(a->value, "error") ? LOG_LEVEL_ERROR : log_level_from_string(a->value);

        if (level < 0)
                return config_complain(a, "\"%s\" is not a log level: emerg, alert, crit, err, warning, notice, "
                                          "info or debug would be", a->value);
        *(LogLevel *) field = (LogLevel) level;
        return 0;
}

int config_parse_loop(const ConfigAssignment *a, void *field) {
        int kind = loop_kind_from_string(a->value);

        if (kind < 0)
                return config_complain(a, "\"%s\" is not an event loop: auto, io_uring or epoll would be", a->value);
        *(LoopKind *) field = (LoopKind) kind;
        return 0;
}

/* --- [Limits] ------------------------------------------------------------------------------------- */

int config_parse_limit(const ConfigAssignment *a, void *field) {
        unsigned limit;

        if (str_parse_uint(a->value, &limit) < 0 || limit == 0 || limit > 1000000)
                return config_complain(a, "\"%s\" is not a limit: a number from 1 to 1000000 would be", a->value);
        *(unsigned *) field = limit;
        return 0;
}

/* --- [Domain NAME] -------------------------------------------------------------------------------- */

static int domain_assign_url(const ConfigAssignment *a, ConfigDomain *d) {
        _cleanup_(config_url_done) ConfigUrl url = {};
        int r;

        d->has_url = true;
        r = config_url_parse(&url, a->value);
        if (r == -EINVAL)
                return config_complain(a, "%s", url.why);
        if (r < 0)
                return r;

        free(d->servers);
        free(d->chroot);
        d->servers = TAKE_PTR(url.servers);
        d->chroot = TAKE_PTR(url.chroot);
        return 0;
}

static void domain_unset_url(ConfigDomain *d) {
        d->has_url = false;
        free(TAKE_PTR(d->servers));
        free(TAKE_PTR(d->chroot));
}

int config_parse_url(const ConfigAssignment *a, void *field) {
        if (!*a->value) {
                domain_unset_url(a->object);
                return 0;
        }
        return domain_assign_url(a, a->object);
}

int config_parse_top_url(const ConfigAssignment *a, void *field) {
        ConfigDomain *d = config_find_domain(a->config, "cluster");
        int r;

        if (!*a->value) {
                if (d)
                        domain_unset_url(d);
                return 0;
        }
        r = config_get_domain(a->config, "cluster", a->where, &d);
        if (r < 0)
                return r;
        return domain_assign_url(a, d);
}

int config_parse_timeout(const ConfigAssignment *a, void *field) {
        uint64_t usec;

        if (time_parse_span(a->value, &usec) < 0 || usec < 10 * USEC_PER_MSEC || usec > 3600 * USEC_PER_SEC)
                return config_complain(a, "\"%s\" is not a time from 10ms to 1h: 15, 15s or 500ms would be", a->value);
        *(uint64_t *) field = usec;
        if (a->where.line > 0)
                ((ConfigDomain *) a->object)->time_where = a->where;
        return 0;
}

int config_parse_namespace(const ConfigAssignment *a, void *field) {
        const char *v = a->value;

        if (v[0] != '/' || !v[1] || str_ends_with(v, "/") || strstr(v, "//") || strstr(v, "/.") || strchr(v, ' ') ||
            streq(v, "/zookeeper") || str_skip_prefix(v, "/zookeeper/") || !str_is_printable_ascii(v, strlen(v)))
                return config_complain(a, "\"%s\" is not a path for our nodes: /tooz would be, or /name/name in "
                                          "printable ASCII without a '/' at the end", v);
        return strdup_to(field, v);
}

int config_split_auth(const char *text, char **ret_scheme, char **ret_auth) {
        _cleanup_free_ char *scheme = NULL;
        const char *auth = str_skip_prefix(text, "digest:");
        const char *colon = auth ? strchr(auth, ':') : NULL;

        if (!colon || colon == auth || !colon[1] || strlen(auth) > 512)
                return -EINVAL;
        scheme = strdup("digest");
        if (!scheme || strdup_to(ret_auth, auth) < 0)
                return -ENOMEM;
        free(*ret_scheme);
        *ret_scheme = TAKE_PTR(scheme);
        return 0;
}

int config_parse_auth(const ConfigAssignment *a, void *field) {
        ConfigDomain *d = a->object;
        int r;

        if (!*a->value) {
                free(TAKE_PTR(d->auth_scheme));
                free(TAKE_PTR(d->auth));
                return 0;
        }
        r = config_split_auth(a->value, &d->auth_scheme, &d->auth);
        if (r == -EINVAL)
                return config_complain(a, "is not what ZooKeeper can be told: digest:user:password would be (the value "
                                          "is not shown)");
        return r;
}

int config_parse_acl(const ConfigAssignment *a, void *field) {
        bool private = streq(a->value, "private");

        if (!private && !streq(a->value, "open"))
                return config_complain(a, "\"%s\" is not known: open (everybody may read and write the nodes) or "
                                          "private (only who has the same Auth=) would be", a->value);
        *(bool *) field = private;
        return 0;
}

static int parse_missing_feature(const ConfigAssignment *a, bool *field, const char *advice) {
        bool wanted;

        if (str_parse_bool(a->value, &wanted) < 0)
                return config_complain(a, "\"%s\" is neither yes nor no", a->value);
        if (wanted)
                return config_complain(a, "the ZooKeeper client library of Debian 12 is built without %s", advice);
        *field = false;
        return 0;
}

int config_parse_tls(const ConfigAssignment *a, void *field) {
        return parse_missing_feature(a, field, "TLS: put stunnel or a private network between, and leave this no");
}

int config_parse_sasl(const ConfigAssignment *a, void *field) {
        return parse_missing_feature(a, field, "SASL: use Auth=digest:user:password, and leave this no");
}

/* --- [Access NAME] -------------------------------------------------------------------------------- */

/* Numbers are taken as they are, for users who exist elsewhere. */
int config_parse_user(const ConfigAssignment *a, void *field) {
        ConfigAccess *access = a->object;
        const struct passwd *pw;
        unsigned uid;

        if (!*a->value) {
                access->has_uid = false;
                return 0;
        }
        if (str_parse_uint(a->value, &uid) < 0) {
                pw = getpwnam(a->value);
                if (!pw)
                        return config_complain(a, "there is no user \"%s\" here", a->value);
                uid = pw->pw_uid;
        }
        access->uid = uid;
        access->has_uid = true;
        return 0;
}

int config_parse_group(const ConfigAssignment *a, void *field) {
        ConfigAccess *access = a->object;
        const struct group *gr;
        unsigned gid;

        if (!*a->value) {
                access->has_gid = false;
                return 0;
        }
        if (str_parse_uint(a->value, &gid) < 0) {
                gr = getgrnam(a->value);
                if (!gr)
                        return config_complain(a, "there is no group \"%s\" here", a->value);
                gid = gr->gr_gid;
        }
        access->gid = gid;
        access->has_gid = true;
        return 0;
}

int config_parse_domain_ref(const ConfigAssignment *a, void *field) {
        ((ConfigAccess *) a->object)->domain_where = a->where;
        return assign_string(field, a->value);
}

int config_parse_glob(const ConfigAssignment *a, void *field) {
        if (strlen(a->value) > 255)
                return config_complain(a, "is longer than 255 bytes");
        return assign_string(field, a->value);
}

static int allow_add(const ConfigAssignment *a, unsigned *allow, const char *word) {
        int verb = access_verb_from_string(word);

        if (streq(word, "none"))
                return 0;
        if (verb < 0)
                return config_complain(a, "\"%s\" can't be allowed: read, lock, break, manage or none can", word);
        *allow |= 1u << verb;
        return 0;
}

int config_parse_allow(const ConfigAssignment *a, void *field) {
        ConfigAccess *access = a->object;
        _cleanup_free_ char *words = NULL;
        unsigned allow = access->allow;
        char *p, *word, *save = NULL;

        if (strdup_to(&words, a->value) < 0)
                return -ENOMEM;
        access->has_allow = true; /* a wrong word is complained about once */
        if (!*a->value) {
                access->has_allow = false;
                access->allow = 0;
                return 0;
        }
        for (p = words; (word = strtok_r(p, " \t,", &save)); p = NULL)
                if (allow_add(a, &allow, word) < 0)
                        return -EINVAL;
        access->allow = allow;
        return 0;
}
