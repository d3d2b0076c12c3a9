/* SPDX-License-Identifier: Apache-2.0 */
/* One file of the configuration
 *
 * inih takes the lines apart. It is given them by a reader of ours, because what it can't take it cuts off or
 * interprets in silence: lines of 200 bytes and more, section names of 50, `key: value`, and lines that begin with
 * a blank (a continuation, to it). So the reader
 *
 *   - refuses what is too long or no assignment, and gives an empty line instead;
 *   - strips blanks from the beginning of a line, except that the line behind one that ended in a backslash gets
 *     exactly one: inih then reports it as more of the same key;
 *   - enters sections itself, since inih reports keys only.
 *
 * inih asks for a line and reports it before it asks for the next, so that `line` is where we are. An assignment is
 * complete, and carried out, when the next key, section or the end comes. */

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config-file.h"
#include "agent/config-keys.h"
#include "agent/config-parse.h"
#include "base/fd.h"
#include "base/str.h"

#define FILE_MAX (1024 * 1024)
#define LINE_MAX_BYTES 199

typedef struct ConfigFile {
        Config *config;
        ConfigErrors *errors;
        const char *path;
        char *pos; /* of the text that is not yet read */
        char *end;
        unsigned line;
        bool continues;    /* the last line ended in a backslash */
        bool continuation; /* and this is the next */
        int error;         /* -ENOMEM */

        bool in_section; /* a known one */
        ConfigSection section;
        const char *label; /* belongs to the object */
        void *object;

        const ConfigKey *key; /* of the assignment that is being collected, or NULL */
        unsigned key_line;
        char *value;
} ConfigFile;

static void file_complain(ConfigFile *f, const char *text) {
        (void) config_errors_add(f->errors, "%s:%u: %s", f->path, f->line, text);
}

/* --- assignments ---------------------------------------------------------------------------------- */

static void file_finish_assignment(ConfigFile *f) {
        ConfigAssignment a = {
                .config = f->config,
                .errors = f->errors,
                .where = { .origin = f->path, .line = f->key_line },
                .key = f->key,
                .section_label = f->label,
                .object = f->object,
                .value = f->value,
        };

        if (f->key && config_key_assign(&a) == -ENOMEM)
                f->error = -ENOMEM;
        f->key = NULL;
        free(TAKE_PTR(f->value));
}

static void file_complain_key(ConfigFile *f, const char *name) {
        char header[CONFIG_HEADER_SIZE];
        const ConfigKey *near = config_key_nearest(f->section, name);
        ConfigSection home = config_key_home(name);

        config_print_header(header, f->section, f->label);
        if (home < _CONFIG_SECTION_MAX)
                (void) config_errors_add(f->errors, "%s:%u: %s%s=: belongs in a section [%s%s]", f->path, f->line, header,
                                         name, config_section_to_string(home),
                                         config_section_is_named(home) ? " NAME" : "");
        else
                (void) config_errors_add(f->errors, "%s:%u: %s%s=: there is no such key, the nearest is %s=", f->path,
                                         f->line, header, name, near->name);
}

/* Called by inih: 0 is an error to it, and stops nothing. */
static int file_on_key(void *user, const char *section, const char *name, const char *value) {
        ConfigFile *f = user;
        char *joined;

        if (f->continuation) {
                joined = f->key ? strjoin(f->value, *f->value ? " " : "", value) : NULL;
                if (f->key && !joined)
                        f->error = -ENOMEM;
                if (joined) {
                        free(f->value);
                        f->value = joined;
                }
                return 1;
        }

        file_finish_assignment(f);
        if (!f->in_section)
                return 1; /* complained about the section */
        f->key = config_key_find(f->section, name);
        f->key_line = f->line;
        if (!f->key)
                file_complain_key(f, name);
        else if (strdup_to(&f->value, value) < 0) {
                f->key = NULL;
                f->error = -ENOMEM;
        }
        return 1;
}

/* --- sections ------------------------------------------------------------------------------------- */

static bool label_is_valid(const char *s) {
        for (const char *p = s; *p; p++)
                if (!isalnum((unsigned char) *p) && !strchr("-_.", *p))
                        return false;
        return *s && *s != '.';
}

static int file_enter_named(ConfigFile *f, ConfigSection section, const char *label) {
        ConfigWhere where = { .origin = f->path, .line = f->line };
        ConfigDomain *domain;
        ConfigAccess *access;
        int r;

        if (section == CONFIG_DOMAIN) {
                r = config_get_domain(f->config, label, where, &domain);
                if (r < 0)
                        return r;
                domain->has_section = true;
                f->object = domain;
                f->label = domain->name;
        } else {
                r = config_get_access(f->config, label, where, &access);
                if (r < 0)
                        return r;
                f->object = access;
                f->label = access->name;
        }
        return 0;
}

/* `name` and `label` are what stands in the brackets, split at the first blank; label NULL: no blank. */
static void file_enter(ConfigFile *f, const char *name, const char *label) {
        int section = *name ? config_section_from_string(name) : -EINVAL;

        f->in_section = false;
        f->object = f->config;
        f->label = NULL;

        if (section < 0) {
                (void) config_errors_add(f->errors, "%s:%u: [%s]: there is no such section: [Agent], [Domain NAME], "
                                         "[Limits] and [Access NAME] are known", f->path, f->line, name);
                return;
        }
        f->section = (ConfigSection) section;
        if (config_section_is_named(f->section) != !!label) {
                (void) config_errors_add(f->errors, "%s:%u: [%s]: %s", f->path, f->line, name,
                                         label ? "takes no name" : "lacks the name that stands behind it");
                return;
        }
        if (label && !label_is_valid(label)) {
                file_complain(f, "the name of a section consists of letters, digits, '-', '_' and '.'");
                return;
        }
        if (label && f->section == CONFIG_DOMAIN && streq(label, "node")) {
                file_complain(f, "[Domain node]: is built in and has no settings");
                return;
        }
        if (label && file_enter_named(f, f->section, label) < 0) {
                f->error = -ENOMEM;
                return;
        }
        f->in_section = true;
}

static void file_read_header(ConfigFile *f, const char *line) {
        char header[LINE_MAX_BYTES + 1], *name, *label;
        const char *end = strchr(line, ']');
        size_t len = end ? (size_t) (end - line) - 1 : 0;

        file_finish_assignment(f);
        f->in_section = false;
        if (!end || (end[1] && !strchr("#;", end[1 + strspn(end + 1, " \t")]))) {
                file_complain(f, "is not a section: [Name] alone on the line is the form");
                return;
        }
        memcpy(header, line + 1, len);
        header[len] = 0;

        while (len > 0 && strchr(" \t", header[len - 1]))
                header[--len] = 0;
        name = header + strspn(header, " \t");
        label = strpbrk(name, " \t");
        if (label) {
                *label++ = 0;
                label += strspn(label, " \t");
        }
        file_enter(f, name, label);
}

/* --- lines ---------------------------------------------------------------------------------------- */

static char *file_next_line(ConfigFile *f, size_t *ret_len) {
        char *line = f->pos, *end;

        if (f->pos >= f->end)
                return NULL;
        end = memchr(line, '\n', (size_t) (f->end - line));
        f->pos = end ? end + 1 : f->end;
        *ret_len = (size_t) ((end ?: f->end) - line);
        if (*ret_len > 0 && line[*ret_len - 1] == '\r')
                --*ret_len;
        f->line++;
        return line;
}

static bool file_line_is_text(ConfigFile *f, const char *line, size_t len) {
        if (len > LINE_MAX_BYTES)
                file_complain(f, "the line has more than 199 bytes: end it with a backslash and go on in the next");
        else if (!str_is_utf8(line, len))
                file_complain(f, "the line is not UTF-8 text");
        else
                return true;
        return false;
}

static bool line_is_assignment(const char *line) {
        size_t n = 0;

        while (isalnum((unsigned char) line[n]) || line[n] == '_' || line[n] == '-' || line[n] == '.')
                n++;
        return n > 0 && line[n + strspn(line + n, " \t")] == '=';
}

/* What inih is to see of the line, without its end. "" if nothing. */
static const char *file_digest_line(ConfigFile *f, char *line) {
        const char *text = line + strspn(line, " \t");
        size_t len = strlen(text);

        if (*text == '#' || *text == ';')
                return ""; /* a line that is continued stays so */

        f->continuation = f->continues;
        f->continues = len > 0 && text[len - 1] == '\\';
        if (f->continues)
                line[strlen(line) - 1] = 0;
        if (f->continuation || !*text)
                return text;

        if (*text == '[') {
                f->continues = false;
                file_read_header(f, text);
                return "";
        }
        if (!line_is_assignment(text)) {
                file_finish_assignment(f);
                file_complain(f, "is no assignment: Key=value is the form, and '#' begins a comment");
                return "";
        }
        return text;
}

/* fgets() for inih. */
static char *file_on_line(char *buf, int size, void *stream) {
        ConfigFile *f = stream;
        char copy[LINE_MAX_BYTES + 1];
        const char *text;
        char *line;
        size_t len;

        line = file_next_line(f, &len);
        if (!line)
                return NULL;
        if (!file_line_is_text(f, line, len)) {
                f->continues = false;
                text = "";
        } else {
                memcpy(copy, line, len);
                copy[len] = 0;
                text = file_digest_line(f, copy);
        }
        if (str_print(buf, (size_t) size, "%s%s", f->continuation && *text ? " " : "", text) < 0)
                file_complain(f, "the line is too long for this build of inih");
        return buf;
}

int config_file_read(Config *config, ConfigErrors *errors, const char *path) {
        ConfigFile f = {
                .config = config, .errors = errors, .path = path,
                .in_section = true, .section = CONFIG_TOP, .object = config,
        };
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r;

        r = file_read(path, FILE_MAX, &text, &len);
        if (r < 0)
                return r;
        f.pos = text;
        f.end = text + len;
        if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
                f.pos += 3;

        /* A ';' in a password is no comment. */
        ini_allow_inline_comments = false;
        (void) ini_parse_stream(file_on_line, &f, file_on_key, &f);
        file_finish_assignment(&f);
        return f.error;
}
