/* SPDX-License-Identifier: Apache-2.0 */
/* One row model, two forms */

#include <stdio.h>

#include "base/str.h"
#include "base/time.h"
#include "ctl/format.h"
#include "support/kit.h"

KIT_SUITE(format);

static const Column columns[] = {
        { "NAME", "name", CELL_TEXT },
        { "TOKEN", "token", CELL_TOKEN },
        { "SINCE", "since", CELL_SINCE },
        { NULL, "hidden", CELL_NUMBER },
};

static Table *two_rows(void) {
        Table *t;

        kit_ok(table_new(&t, columns, ARRAY_SIZE(columns)));
        kit_ok(table_add_row(t));
        table_set_text(t, 0, "back\033up\"");
        table_set_number(t, 1, UINT64_MAX);
        table_set_number(t, 2, time_now_realtime() - 61 * USEC_PER_SEC);
        table_set_number(t, 3, 7);
        kit_ok(table_add_row(t));
        table_set_text(t, 0, "b");
        return t;
}

static char text[4096];

static const char *print(Table *t, const Options *o) {
        FILE *f = fmemopen(text, sizeof(text), "w");

        cr_assert_not_null(f);
        kit_ok(table_print(t, o, f));
        (void) fclose(f);
        return text;
}

Test(format, json_has_every_column_and_tokens_as_strings) {
        Options o = { .json = JSON_SHORT, .legend = true };
        Table *t = two_rows();
        json_t *rows, *row;

        rows = json_loads(print(t, &o), 0, NULL);
        cr_assert_eq(json_array_size(rows), 2);
        row = json_array_get(rows, 0);
        kit_streq(json_string_value(json_object_get(row, "name")), "back?up\"");
        kit_streq(json_string_value(json_object_get(row, "token")), "18446744073709551615");
        cr_assert_eq(json_integer_value(json_object_get(row, "hidden")), 7);
        row = json_array_get(rows, 1);
        cr_assert(json_is_null(json_object_get(row, "token")));
        json_decref(rows);
        (void) table_free(t);
}

Test(format, a_table_shows_what_people_read) {
        Options o = { .legend = true };
        Table *t = two_rows();

        print(t, &o);
        cr_assert_not_null(strstr(text, "NAME"));
        cr_assert_not_null(strstr(text, "back?up\""));
        cr_assert_not_null(strstr(text, "18446744073709551615"));
        cr_assert_not_null(strstr(text, "1min"));
        cr_assert_null(strchr(text, '\033'));
        cr_assert_null(strstr(text, "hidden"));
        kit_streq(table_cell(t, 1, 1), "");
        (void) table_free(t);
}

Test(format, columns_are_chosen_by_their_heads) {
        Options o = { .legend = false, .columns = "token,name" };
        Table *t = two_rows();

        cr_assert_not_null(str_skip_prefix(print(t, &o), "18446744073709551615 back?up\"\n"), "%s", text);
        o.columns = "name,nothing";
        kit_fails(table_print(t, &o, stdout), -EINVAL);
        o.columns = "";
        kit_fails(table_print(t, &o, stdout), -EINVAL);
        (void) table_free(t);
}

Test(format, no_rows_are_an_empty_array) {
        Options o = { .json = JSON_PRETTY };
        Table *t;

        kit_ok(table_new(&t, columns, ARRAY_SIZE(columns)));
        kit_streq(print(t, &o), "[]\n");
        (void) table_free(t);
}
