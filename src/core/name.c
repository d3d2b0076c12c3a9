/* SPDX-License-Identifier: Apache-2.0 */
/* Names of locks, groups, elections: what is allowed, and their forms in other alphabets */

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "core/name.h"

static const char *const name_error_table[_NAME_ERROR_MAX] = {
        [NAME_OK] = "is a good name",
        [NAME_E_EMPTY] = "is empty",
        [NAME_E_LONG] = "is longer than 255 bytes",
        [NAME_E_UTF8] = "is not UTF-8",
        [NAME_E_DOTS] = "is '.' or '..'",
        [NAME_E_CONTROL] = "contains control characters",
        [NAME_E_ASCII] = "contains other than printable ASCII, which would break Python peers of this cluster domain",
        [NAME_E_SLASH] = "contains '/', which is not possible in a cluster domain",
};
DEFINE_STRING_TABLE(name_error, NameError, _NAME_ERROR_MAX);

static const char *const name_form_table[_NAME_FORM_MAX] = {
        [NAME_FORM_PATH] = "path",
        [NAME_FORM_FILE] = "file",
        [NAME_FORM_LOG] = "log",
};
DEFINE_STRING_TABLE(name_form, NameForm, _NAME_FORM_MAX);

static bool byte_is_control(unsigned char c) {
        return c < 0x20 || c == 0x7f;
}

/* In valid UTF-8: also U+0080 to U+009F, which terminals obey like ESC and a letter. */
static bool has_control(const char *name) {
        for (const unsigned char *p = (const unsigned char *) name; *p; p++)
                if (byte_is_control(*p) || (p[0] == 0xc2 && p[1] < 0xa0))
                        return true;
        return false;
}

NameError name_check(const char *name) {
        size_t len = strnlen(name, NAME_LEN_MAX + 1);

        if (len == 0)
                return NAME_E_EMPTY;
        if (len > NAME_LEN_MAX)
                return NAME_E_LONG;
        if (!str_is_utf8(name, len))
                return NAME_E_UTF8;
        if (streq(name, ".") || streq(name, ".."))
                return NAME_E_DOTS;
        return has_control(name) ? NAME_E_CONTROL : NAME_OK;
}

NameError name_check_cluster(const char *name) {
        NameError error = name_check(name);

        if (error != NAME_OK)
                return error;
        if (!str_is_printable_ascii(name, strlen(name)))
                return NAME_E_ASCII;
        if (strchr(name, '/'))
                return NAME_E_SLASH;
        return NAME_OK;
}

/* --- forms -------------------------------------------------------------------------------------- */

static bool byte_is_alnum(unsigned char c) {
        return c < 0x80 && isalnum(c);
}

static bool path_byte_is_safe(unsigned char c, bool first) {
        return byte_is_alnum(c) && !(first && isdigit(c));
}

static bool file_byte_is_safe(unsigned char c, bool first) {
        return byte_is_alnum(c) || c == '_' || c == '-' || (c == '.' && !first);
}

static bool log_byte_is_safe(unsigned char c, bool first) {
        return !byte_is_control(c) && c != '\\';
}

/* An escape is `prefix` and two lower-case hex digits. */
typedef struct Alphabet {
        const char *prefix;
        bool (*is_safe)(unsigned char c, bool first);
} Alphabet;

static const Alphabet alphabets[_NAME_FORM_MAX] = {
        [NAME_FORM_PATH] = { "_", path_byte_is_safe },
        [NAME_FORM_FILE] = { "%", file_byte_is_safe },
        [NAME_FORM_LOG] = { "\\x", log_byte_is_safe },
};

int name_encode(NameForm form, const char *name, char *ret, size_t size) {
        static const char digits[] = "0123456789abcdef";
        const Alphabet *a = &alphabets[form];
        size_t prefix_len = strlen(a->prefix), len = 0;

        for (const char *p = name; *p; p++) {
                unsigned char c = (unsigned char) *p;
                bool safe = a->is_safe(c, p == name);

                if (len + (safe ? 1 : prefix_len + 2) >= size)
                        return -ENAMETOOLONG;
                if (safe) {
                        ret[len++] = *p;
                        continue;
                }
                memcpy(ret + len, a->prefix, prefix_len);
                len += prefix_len;
                ret[len++] = digits[c >> 4];
                ret[len++] = digits[c & 15];
        }
        if (len >= size)
                return -ENAMETOOLONG;
        ret[len] = '\0';
        return 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

/* Length of the decoded text, or -EINVAL. */
static int decode_bytes(const Alphabet *a, const char *p, char *ret, size_t size) {
        size_t prefix_len = strlen(a->prefix), len = 0;

        while (*p) {
                if (len + 1 >= size)
                        return -EINVAL;
                if (strncmp(p, a->prefix, prefix_len) != 0) {
                        ret[len++] = *p++;
                        continue;
                }
                p += prefix_len;
                if (hex_digit(p[0]) < 0 || hex_digit(p[1]) < 0)
                        return -EINVAL;
                ret[len++] = (char) (hex_digit(p[0]) << 4 | hex_digit(p[1]));
                p += 2;
        }
        ret[len] = '\0';
        return (int) len;
}

int name_decode(NameForm form, const char *encoded, char *ret, size_t size) {
        char again[NAME_FORM_SIZE];
        int r;

        r = decode_bytes(&alphabets[form], encoded, ret, size);
        if (r < 0)
                return r;
        /* One name, one form: what encode would have written otherwise is no form. An escaped NUL ends here too. */
        if (strlen(ret) != (size_t) r || name_check(ret) != NAME_OK ||
            name_encode(form, ret, again, sizeof(again)) < 0 || !streq(again, encoded))
                return -EINVAL;
        return 0;
}
