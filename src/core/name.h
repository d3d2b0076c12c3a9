/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of locks, groups, elections: what is allowed, and their forms in other alphabets
 *
 * A name is UTF-8, 1 to 255 bytes, without NUL and other control characters (C0, DEL, C1), and not "." or "..". In
 * ZooKeeper's /tooz it is also printable ASCII without '/', because one other name there makes every Python peer's
 * get_groups() raise.
 *
 * One codec makes all forms: bytes outside the form's safe set become an escape character and two hex digits, so
 * every form can be read back, and two names never share one. */

#include <stddef.h>

#include "base/table.h"

#define NAME_LEN_MAX 255

typedef enum NameForm {
        NAME_FORM_PATH, /* element of an object path: as sd_bus_path_encode() does it */
        NAME_FORM_FILE, /* file name: '%' and hex, no leading '.' */
        NAME_FORM_LOG,  /* for people: printable UTF-8 as it is, control bytes and '\' as \xNN */
        _NAME_FORM_MAX,
} NameForm;

/* Why a name is refused. */
typedef enum NameError {
        NAME_OK,
        NAME_E_EMPTY,
        NAME_E_LONG,
        NAME_E_UTF8,
        NAME_E_DOTS,
        NAME_E_CONTROL,  /* control characters */
        NAME_E_ASCII,    /* cluster: not printable ASCII */
        NAME_E_SLASH,    /* cluster: contains '/' */
        _NAME_ERROR_MAX,
} NameError;

/* Buffer that holds any form of any name. */
#define NAME_FORM_SIZE (4 * NAME_LEN_MAX + 1)

DECLARE_STRING_TABLE(name_form, NameForm);
/* What stands behind the name in a sentence: "is empty", "is longer than 255 bytes"… */
DECLARE_STRING_TABLE(name_error, NameError);

NameError name_check(const char *name);
NameError name_check_cluster(const char *name);

/* -ENAMETOOLONG when `size` is too small. */
int name_encode(NameForm form, const char *name, char *ret, size_t size);
/* -EINVAL when it is no encoded name (also: one that encode would have written differently). */
int name_decode(NameForm form, const char *encoded, char *ret, size_t size);
