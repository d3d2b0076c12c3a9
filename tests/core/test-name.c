/* SPDX-License-Identifier: Apache-2.0 */
/* Names: what is refused, and forms that can be read back */

#include <ctype.h>
#include <stdio.h>

#include "base/random.h"
#include "base/str.h"
#include "core/name.h"
#include "support/kit.h"

#define LONGEST_ASCII 255

KIT_SUITE(name);

typedef struct Row {
        const char *name;
        NameError node;
        NameError cluster;
} Row;

static const Row rows[] = {
        { "a", NAME_OK, NAME_OK },
        { "backup", NAME_OK, NAME_OK },
        { " ", NAME_OK, NAME_OK },
        { "...", NAME_OK, NAME_OK },
        { ".a", NAME_OK, NAME_OK },
        { "a.", NAME_OK, NAME_OK },
        { "%2e", NAME_OK, NAME_OK },
        { "\\x41", NAME_OK, NAME_OK },
        { "~!@#$^&*()=+[]{};:'\",<>?|`", NAME_OK, NAME_OK },
        { "locks", NAME_OK, NAME_OK },
        { "a/b", NAME_OK, NAME_E_SLASH },
        { "/", NAME_OK, NAME_E_SLASH },
        { "../x", NAME_OK, NAME_E_SLASH },
        { "\xc3\xa9t\xc3\xa9", NAME_OK, NAME_E_ASCII },
        { "\xe2\x82\xac/x", NAME_OK, NAME_E_ASCII },
        { "\xf0\x9f\x94\x92", NAME_OK, NAME_E_ASCII },

        { "", NAME_E_EMPTY, NAME_E_EMPTY },
        { ".", NAME_E_DOTS, NAME_E_DOTS },
        { "..", NAME_E_DOTS, NAME_E_DOTS },

        { "a\nb", NAME_E_CONTROL, NAME_E_CONTROL },
        { "\t", NAME_E_CONTROL, NAME_E_CONTROL },
        { "x\nMAINPID=1", NAME_E_CONTROL, NAME_E_CONTROL },
        { "\x1b[31m", NAME_E_CONTROL, NAME_E_CONTROL },
        { "a\x7f", NAME_E_CONTROL, NAME_E_CONTROL },
        /* C1: terminals obey U+009B as they obey ESC [ */
        { "\xc2\x9b"
          "31m",
          NAME_E_CONTROL, NAME_E_CONTROL },
        { "a\xc2\x80", NAME_E_CONTROL, NAME_E_CONTROL },
        { "a\xc2\x85z", NAME_E_CONTROL, NAME_E_CONTROL },
        { "a\xc2\xa0z", NAME_OK, NAME_E_ASCII },

        { "\xff", NAME_E_UTF8, NAME_E_UTF8 },
        { "a\xc3", NAME_E_UTF8, NAME_E_UTF8 },
        { "\x80", NAME_E_UTF8, NAME_E_UTF8 },
        { "\xc0\xaf", NAME_E_UTF8, NAME_E_UTF8 },         /* '/', overlong */
        { "\xe0\x80\xaf", NAME_E_UTF8, NAME_E_UTF8 },     /* the same, longer */
        { "\xc0\x80", NAME_E_UTF8, NAME_E_UTF8 },         /* NUL, overlong */
        { "\xed\xa0\x80", NAME_E_UTF8, NAME_E_UTF8 },     /* half a surrogate pair */
        { "\xf4\x90\x80\x80", NAME_E_UTF8, NAME_E_UTF8 }, /* above U+10FFFF */
        { "\xf8\x88\x80\x80\x80", NAME_E_UTF8, NAME_E_UTF8 },
};

Test(name, table) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                cr_assert_eq(name_check(rows[i].name), rows[i].node, "row %zu: %s", i,
                             name_error_to_string(name_check(rows[i].name)));
                cr_assert_eq(name_check_cluster(rows[i].name), rows[i].cluster, "row %zu: %s", i,
                             name_error_to_string(name_check_cluster(rows[i].name)));
        }
}

Test(name, length) {
        char name[4096];

        memset(name, 'a', sizeof(name));
        for (size_t len = LONGEST_ASCII; len < sizeof(name); len = len < 260 ? len + 1 : 2 * len) {
                NameError want = len <= LONGEST_ASCII ? NAME_OK : NAME_E_LONG;

                name[len] = '\0';
                cr_assert_eq(name_check(name), want, "length %zu", len);
                cr_assert_eq(name_check_cluster(name), want, "length %zu", len);
                name[len] = 'a';
        }
}

/* --- forms -------------------------------------------------------------------------------------- */

Test(name, known_forms) {
        static const struct {
                NameForm form;
                const char *name;
                const char *encoded;
        } known[] = {
                { NAME_FORM_PATH, "backup", "backup" },
                { NAME_FORM_PATH, "1a", "_31a" }, /* sd_bus_path_encode() */
                { NAME_FORM_PATH, "a1_b", "a1_5fb" },
                { NAME_FORM_PATH, "a/b", "a_2fb" },
                { NAME_FORM_PATH, "\xc3\xa9", "_c3_a9" },
                { NAME_FORM_FILE, "a b/c", "a%20b%2fc" },
                { NAME_FORM_FILE, ".hidden", "%2ehidden" },
                { NAME_FORM_FILE, "a.b-c_d", "a.b-c_d" },
                { NAME_FORM_FILE, "100%", "100%25" },
                { NAME_FORM_LOG, "a\\b", "a\\x5cb" },
                { NAME_FORM_LOG, "\xc3\xa9 x", "\xc3\xa9 x" },
        };
        char buf[NAME_FORM_SIZE];

        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                kit_ok(name_encode(known[i].form, known[i].name, buf, sizeof(buf)));
                kit_streq(buf, known[i].encoded);
                kit_ok(name_decode(known[i].form, known[i].encoded, buf, sizeof(buf)));
                kit_streq(buf, known[i].name);
        }
}

Test(name, what_encode_would_not_write_is_no_form) {
        static const struct {
                NameForm form;
                const char *encoded;
        } bad[] = {
                { NAME_FORM_PATH, "" },       { NAME_FORM_PATH, "a_62" },    { NAME_FORM_PATH, "a_2F" },
                { NAME_FORM_PATH, "a_" },     { NAME_FORM_PATH, "a_2" },     { NAME_FORM_PATH, "a_zz" },
                { NAME_FORM_PATH, "_00" },    { NAME_FORM_PATH, "a_00b" },   { NAME_FORM_PATH, "1a" },
                { NAME_FORM_PATH, "_2e" },    { NAME_FORM_PATH, "_2e_2e" },  { NAME_FORM_PATH, "_0a" },
                { NAME_FORM_PATH, "_ff" },    { NAME_FORM_PATH, "a/b" },     { NAME_FORM_PATH, "a b" },
                { NAME_FORM_FILE, "" },       { NAME_FORM_FILE, "a%2f%" },   { NAME_FORM_FILE, "a%2F" },
                { NAME_FORM_FILE, ".a" },     { NAME_FORM_FILE, "a/b" },     { NAME_FORM_FILE, "%2e" },
                { NAME_FORM_FILE, "%2e." },   { NAME_FORM_FILE, "%61" },     { NAME_FORM_FILE, "%00" },
                { NAME_FORM_LOG, "a\\b" },    { NAME_FORM_LOG, "\\x41" },    { NAME_FORM_LOG, "\\x0a" },
                { NAME_FORM_LOG, "a\nb" },    { NAME_FORM_LOG, "\\x" },      { NAME_FORM_LOG, "." },
        };
        char buf[NAME_FORM_SIZE];

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                cr_assert_eq(name_decode(bad[i].form, bad[i].encoded, buf, sizeof(buf)), -EINVAL, "\"%s\" as %s",
                             bad[i].encoded, name_form_to_string(bad[i].form));
}

/* Exactly as much as is needed is enough, and a byte less is not. */
Test(name, buffers) {
        static const char *const names[] = { "a", "a/b", "///", "a b\\c", "0\xc3\xa9" };
        char full[NAME_FORM_SIZE], buf[64];

        for (NameForm form = 0; form < _NAME_FORM_MAX; form++)
                for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                        size_t len;

                        kit_ok(name_encode(form, names[i], full, sizeof(full)));
                        len = strlen(full);
                        for (size_t size = 0; size <= len; size++)
                                kit_fails(name_encode(form, names[i], buf, size), -ENAMETOOLONG);
                        kit_ok(name_encode(form, names[i], buf, len + 1));
                        kit_streq(buf, full);

                        kit_fails(name_decode(form, full, buf, strlen(names[i])), -EINVAL);
                        kit_ok(name_decode(form, full, buf, strlen(names[i]) + 1));
                        kit_streq(buf, names[i]);
                }
}

static bool form_is_clean(NameForm form, const char *s) {
        if (form == NAME_FORM_FILE && (*s == '.' || strchr(s, '/')))
                return false;
        for (const unsigned char *p = (const unsigned char *) s; *p; p++) {
                if (*p < 0x20 || *p == 0x7f)
                        return false;
                if (form == NAME_FORM_PATH && !(isalnum(*p) || *p == '_'))
                        return false;
                if (form == NAME_FORM_FILE && *p >= 0x80)
                        return false;
        }
        return true;
}

static void random_name(Prng *prng, char *name, size_t size) {
        static const char *const pieces[] = { "a", "9", "_", "%", "\\x41", ".", "/", " ", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x92", "-" };
        size_t n = 1 + prng_below(prng, 40);

        name[0] = '\0';
        for (size_t i = 0; i < n && strlen(name) + 8 < size; i++)
                strcat(name, pieces[prng_below(prng, ARRAY_SIZE(pieces))]);
}

Test(name, random_names_make_the_round_trip) {
        char name[NAME_LEN_MAX + 1], encoded[NAME_FORM_SIZE], decoded[NAME_FORM_SIZE];
        Prng prng;

        prng_init(&prng, kit_seed());
        for (unsigned round = 0; round < 20000; round++) {
                NameForm form = (NameForm) prng_below(&prng, _NAME_FORM_MAX);

                random_name(&prng, name, sizeof(name));
                if (name_check(name) != NAME_OK)
                        continue;
                kit_ok(name_encode(form, name, encoded, sizeof(encoded)));
                cr_assert(form_is_clean(form, encoded), "%s", encoded);
                kit_ok(name_decode(form, encoded, decoded, sizeof(decoded)));
                kit_streq(decoded, name);
        }
}

/* Whatever is decoded is a good name, and the only one of that form. */
Test(name, random_bytes_as_forms) {
        static const char alphabet[] = "a0_%\\x2fe.c3A \xc3\xa9\n/";
        char encoded[24], decoded[NAME_FORM_SIZE], again[NAME_FORM_SIZE];
        unsigned n_decoded = 0;
        Prng prng;

        prng_init(&prng, kit_seed());
        for (unsigned round = 0; round < 50000; round++) {
                NameForm form = (NameForm) prng_below(&prng, _NAME_FORM_MAX);
                size_t len = prng_below(&prng, 10);

                for (size_t i = 0; i < len; i++)
                        encoded[i] = prng_chance(&prng, 1, 20) ? (char) prng_next(&prng)
                                                               : alphabet[prng_below(&prng, sizeof(alphabet) - 1)];
                encoded[len] = '\0';
                if (name_decode(form, encoded, decoded, sizeof(decoded)) < 0)
                        continue;
                cr_assert_eq(name_check(decoded), NAME_OK);
                kit_ok(name_encode(form, decoded, again, sizeof(again)));
                kit_streq(again, encoded);
                n_decoded++;
        }
        cr_assert_gt(n_decoded, 100);
}

Test(name, the_longest_name_has_every_form) {
        char name[NAME_LEN_MAX + 1], encoded[NAME_FORM_SIZE], decoded[NAME_FORM_SIZE];

        for (NameForm form = 0; form < _NAME_FORM_MAX; form++)
                for (const char *fill = "a/\\ "; *fill; fill++) {
                        memset(name, *fill, NAME_LEN_MAX);
                        name[NAME_LEN_MAX] = '\0';
                        kit_ok(name_encode(form, name, encoded, sizeof(encoded)));
                        kit_ok(name_decode(form, encoded, decoded, sizeof(decoded)));
                        kit_streq(decoded, name);
                }
}
