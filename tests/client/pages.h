/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Status pages as an agent makes them, for tests */

#include <tooz/tooz-page.h>

/* A writable mapping of a sealed memfd; the descriptor goes to `ret_fd`. */
struct tooz_page *pages_new(int *ret_fd);
void pages_write(struct tooz_page *page, uint32_t state, uint64_t epoch, uint64_t deadline_usec);
void pages_free(struct tooz_page *page);
