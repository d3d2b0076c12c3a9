/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Processes below one: who they are, and signals to all of them */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A process, for ever: numbers are used again, but not with the same start. */
typedef struct ProcessId {
        pid_t pid;
        uint64_t start; /* clock ticks since boot */
} ProcessId;

typedef struct ProcessSet {
        ProcessId *ids;
        size_t n;
        size_t size;
} ProcessSet;

void process_set_done(ProcessSet *set);
bool process_set_has(const ProcessSet *set, const ProcessId *id);

/* All live descendants of `root`, parents before children, but not those in `except` (may be NULL) and below. Zombies
 * don't count. Replaces what was in `ret`. A process that is being started meanwhile may be missed: ask again until
 * there is none. */
int process_find_below(pid_t root, const ProcessSet *except, ProcessSet *ret);

/* To each that still is who it was. */
void process_signal_all(const ProcessSet *set, int signal);
