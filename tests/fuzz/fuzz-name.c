/* SPDX-License-Identifier: Apache-2.0 */
/* Names: every form can be read back, and no two texts stand for one name */

#include "base/assert.h"
#include "base/str.h"
#include "core/name.h"
#include "fuzz/fuzz.h"

const char *const fuzz_seeds[] = {
        "backup", "user/1000/build", "caf\xc3\xa9", "%2e%2e", ".hidden", "_61", "\\x41", "a\\b", "..", ".", "_",
        "\xf0\x9f\x94\x92", NULL,
};

static void forms(const char *name) {
        for (int form = 0; form < _NAME_FORM_MAX; form++) {
                char encoded[NAME_FORM_SIZE], decoded[NAME_LEN_MAX + 1];

                tooz_assert(name_encode((NameForm) form, name, encoded, sizeof(encoded)) >= 0);
                tooz_assert(str_is_utf8(encoded, strlen(encoded)));
                tooz_assert(name_decode((NameForm) form, encoded, decoded, sizeof(decoded)) >= 0);
                tooz_assert(streq(decoded, name));
                if (form == NAME_FORM_FILE)
                        tooz_assert(!strchr(encoded, '/') && encoded[0] != '.');
        }
}

/* As if it came from a file or an object path. */
static void encoded(const char *text) {
        for (int form = 0; form < _NAME_FORM_MAX; form++) {
                char name[NAME_LEN_MAX + 1], again[NAME_FORM_SIZE];

                if (name_decode((NameForm) form, text, name, sizeof(name)) < 0)
                        continue;
                tooz_assert(name_encode((NameForm) form, name, again, sizeof(again)) >= 0);
                tooz_assert(streq(again, text));
        }
}

void fuzz_one(const char *text, size_t len) {
        NameError error = name_check(text), cluster = name_check_cluster(text);

        if (error == NAME_OK)
                forms(text);
        else
                tooz_assert(cluster != NAME_OK && name_error_to_string(error));
        if (cluster == NAME_OK)
                tooz_assert(str_is_printable_ascii(text, strlen(text)) && !strchr(text, '/'));
        encoded(text);
}
