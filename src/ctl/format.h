/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rows for people and for programs: one model, printed as a table or as JSON */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/macro.h"
#include "base/time.h"
#include "ctl/options.h"

typedef enum CellType {
        CELL_TEXT,
        CELL_NUMBER, /* JSON: a number */
        CELL_TOKEN,  /* JSON: a string, for it has 64 bits */
        CELL_SINCE,  /* CLOCK_REALTIME in usec. Table: how long ago; JSON: the number */
        CELL_SPAN,   /* usec. Table: "15s"; JSON: the number */
        CELL_BOOL,
} CellType;

typedef struct Column {
        const char *title; /* of the table, and for --output=; NULL: not in the table */
        const char *key;   /* of the JSON object */
        CellType type;
} Column;

typedef struct Table Table;

/* The columns are borrowed. */
int table_new(Table **ret, const Column *columns, size_t n_columns);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table, table_free);

/* A new last row, its cells empty. */
int table_add_row(Table *t);
/* Cells of the last row. The first error sticks and is returned when printing. "" and NULL are empty. */
void table_set_text(Table *t, size_t column, const char *text);
void table_set_number(Table *t, size_t column, uint64_t value);

size_t table_n_rows(const Table *t);
/* As a table shows it, "" when empty. */
const char *table_cell(Table *t, size_t row, size_t column);

/* Only these columns, by title, separated by commas; -EINVAL: no such column. */
int table_select(Table *t, const char *titles);

/* An array with one object for each row; NULL without memory. The caller owns it. */
json_t *table_to_json(const Table *t);

int table_print(Table *t, const Options *o, FILE *f);
/* Takes the value; NULL is -ENOMEM. */
int json_print(json_t *value, const Options *o, FILE *f);

/* How long ago a moment of CLOCK_REALTIME was: whole seconds, or milliseconds below one. Returns buf. */
const char *format_age(char buf[static TIME_TEXT_SIZE], uint64_t realtime_usec);

/* Bold, and the end of it: "" where colours are not wanted. */
const char *format_bold(void);
const char *format_normal(void);
/* A sign that terminals of this locale can show. */
const char *format_sign(const char *utf8, const char *ascii);
