/* SPDX-License-Identifier: Apache-2.0 */
/* Rows for people and for programs
 *
 * A verb fills one Table; whether that comes out as a table (libsmartcols) or as JSON (jansson) is decided here, so
 * that the two can't tell different things. What is only for one of them is a matter of the column. */

#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/str.h"
#include "ctl/format.h"

#define COLUMNS_MAX 16

typedef struct Cell {
        bool is_set;
        uint64_t number;
        char *text;    /* of CELL_TEXT */
        char *display; /* made when asked for */
} Cell;

struct Table {
        const Column *columns;
        size_t n_columns;
        Cell *cells; /* n_rows times n_columns */
        size_t n_rows;
        size_t selected[COLUMNS_MAX];
        size_t n_selected;
        int error;
};

int table_new(Table **ret, const Column *columns, size_t n_columns) {
        Table *t;

        tooz_assert(n_columns <= COLUMNS_MAX);
        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->columns = columns;
        t->n_columns = n_columns;
        for (size_t i = 0; i < n_columns; i++)
                if (columns[i].title)
                        t->selected[t->n_selected++] = i;
        *ret = t;
        return 0;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
                free(t->cells[i].text);
                free(t->cells[i].display);
        }
        free(t->cells);
        free(t);
        return NULL;
}

int table_add_row(Table *t) {
        Cell *cells = reallocarray(t->cells, (t->n_rows + 1) * t->n_columns, sizeof(Cell));

        if (!cells)
                return t->error = -ENOMEM;
        t->cells = cells;
        memset(cells + t->n_rows * t->n_columns, 0, t->n_columns * sizeof(Cell));
        t->n_rows++;
        return 0;
}

static Cell *table_at(const Table *t, size_t row, size_t column) {
        tooz_assert(row < t->n_rows && column < t->n_columns);
        return &t->cells[row * t->n_columns + column];
}

void table_set_text(Table *t, size_t column, const char *text) {
        Cell *cell;

        if (t->error < 0)
                return;
        cell = table_at(t, t->n_rows - 1, column);
        tooz_assert(t->columns[column].type == CELL_TEXT);
        t->error = strdup_to(&cell->text, text);
        if (t->error < 0)
                return;
        cell->is_set = !str_is_empty(text);
        /* Names may hold any UTF-8 that others chose: no control bytes on a terminal. */
        if (cell->text)
                str_defuse(cell->text, strlen(cell->text));
}

void table_set_number(Table *t, size_t column, uint64_t value) {
        Cell *cell;

        if (t->error < 0)
                return;
        cell = table_at(t, t->n_rows - 1, column);
        tooz_assert(t->columns[column].type != CELL_TEXT);
        cell->number = value;
        cell->is_set = true;
}

size_t table_n_rows(const Table *t) {
        return t->n_rows;
}

const char *format_age(char buf[static TIME_TEXT_SIZE], uint64_t realtime_usec) {
        uint64_t age_usec = usec_sub(time_now_realtime(), realtime_usec);
        uint64_t unit_usec = age_usec >= USEC_PER_SEC ? USEC_PER_SEC : USEC_PER_MSEC;

        return time_format_span(buf, MAX(age_usec / unit_usec, UINT64_C(1)) * unit_usec);
}

static char *cell_display(const Cell *cell, CellType type) {
        char span[TIME_TEXT_SIZE];

        switch (type) {
        case CELL_TEXT:
                return strdup(cell->text);
        case CELL_NUMBER:
        case CELL_TOKEN:
                return str_format("%" PRIu64, cell->number);
        case CELL_SINCE:
                return strdup(format_age(span, cell->number));
        case CELL_SPAN:
                return strdup(time_format_span(span, cell->number));
        case CELL_BOOL:
                return strdup(cell->number ? "yes" : "no");
        }
        assert_not_reached();
}

const char *table_cell(Table *t, size_t row, size_t column) {
        Cell *cell = table_at(t, row, column);

        if (!cell->is_set)
                return "";
        if (!cell->display)
                cell->display = cell_display(cell, t->columns[column].type);
        return cell->display ?: "";
}

static int table_find_column(const Table *t, const char *title, size_t len, size_t *ret) {
        for (size_t i = 0; i < t->n_columns; i++)
                if (t->columns[i].title && strlen(t->columns[i].title) == len &&
                    strncasecmp(t->columns[i].title, title, len) == 0) {
                        *ret = i;
                        return 0;
                }
        return -EINVAL;
}

int table_select(Table *t, const char *titles) {
        t->n_selected = 0;
        for (;;) {
                size_t len = strcspn(titles, ",");

                if (t->n_selected == COLUMNS_MAX ||
                    table_find_column(t, titles, len, &t->selected[t->n_selected]) < 0)
                        return -EINVAL;
                t->n_selected++;
                titles += len;
                if (!*titles)
                        return 0;
                titles++;
        }
}

static json_t *cell_to_json(const Cell *cell, CellType type) {
        char text[32];

        if (!cell->is_set)
                return json_null();
        switch (type) {
        case CELL_TEXT:
                return json_string(cell->text);
        case CELL_NUMBER:
        case CELL_SINCE:
        case CELL_SPAN:
                return json_integer((json_int_t) MIN(cell->number, (uint64_t) INT64_MAX));
        case CELL_TOKEN:
                (void) str_print(text, sizeof(text), "%" PRIu64, cell->number);
                return json_string(text);
        case CELL_BOOL:
                return json_boolean(cell->number);
        }
        assert_not_reached();
}

json_t *table_to_json(const Table *t) {
        json_t *rows = json_array();

        for (size_t row = 0; rows && row < t->n_rows; row++) {
                json_t *object = json_object();

                for (size_t i = 0; i < t->n_columns; i++)
                        if (json_object_set_new(object, t->columns[i].key,
                                                cell_to_json(table_at(t, row, i), t->columns[i].type)) < 0)
                                goto fail;
                if (json_array_append_new(rows, object) == 0)
                        continue;
                object = NULL;
        fail:
                json_decref(object);
                json_decref(rows);
                return NULL;
        }
        return rows;
}

int json_print(json_t *value, const Options *o, FILE *f) {
        int r;

        if (!value)
                return -ENOMEM;
        r = json_dumpf(value, f, o->json == JSON_PRETTY ? JSON_INDENT(2) : JSON_COMPACT);
        json_decref(value);
        return r < 0 || fputc('\n', f) == EOF || fflush(f) == EOF ? -EIO : 0;
}

static bool cell_is_right(CellType type) {
        return type != CELL_TEXT && type != CELL_BOOL;
}

static int scols_fill(Table *t, struct libscols_table *tb) {
        for (size_t i = 0; i < t->n_selected; i++) {
                const Column *c = &t->columns[t->selected[i]];

                if (!scols_table_new_column(tb, c->title, 0, cell_is_right(c->type) ? SCOLS_FL_RIGHT : 0))
                        return -ENOMEM;
        }
        for (size_t row = 0; row < t->n_rows; row++) {
                struct libscols_line *line = scols_table_new_line(tb, NULL);

                if (!line)
                        return -ENOMEM;
                for (size_t i = 0; i < t->n_selected; i++)
                        if (scols_line_set_data(line, i, table_cell(t, row, t->selected[i])) < 0)
                                return -ENOMEM;
        }
        return 0;
}

static int table_print_text(Table *t, const Options *o, FILE *f) {
        struct libscols_table *tb = scols_new_table();
        int r;

        if (!tb)
                return -ENOMEM;
        r = scols_table_set_stream(tb, f) < 0 || scols_table_enable_noheadings(tb, !o->legend) < 0 ? -ENOMEM : 0;
        if (r >= 0)
                r = scols_fill(t, tb);
        if (r >= 0 && scols_print_table(tb) < 0)
                r = -EIO;
        scols_unref_table(tb);
        return r >= 0 && fflush(f) == EOF ? -EIO : r;
}

int table_print(Table *t, const Options *o, FILE *f) {
        int r = t->error;

        if (r < 0)
                return r;
        if (o->json != JSON_OFF)
                return json_print(table_to_json(t), o, f);
        if (o->columns) {
                r = table_select(t, o->columns);
                if (r < 0)
                        return r;
        }
        return table_print_text(t, o, f);
}

static bool want_colours(void) {
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

        return str_is_empty(no) && term && !streq(term, "dumb") && isatty(STDOUT_FILENO);
}

const char *format_bold(void) {
        return want_colours() ? "\033[1m" : "";
}

const char *format_normal(void) {
        return want_colours() ? "\033[0m" : "";
}

const char *format_sign(const char *utf8, const char *ascii) {
        return streq(nl_langinfo(CODESET), "UTF-8") ? utf8 : ascii;
}
