/* SPDX-License-Identifier: Apache-2.0 */
/* A schedule in readable form */

#include <link.h>
#include <stdarg.h>
#include <stdio.h>

#include "model/model.h"

/* --- names ------------------------------------------------------------------------------------------ */

static const struct {
        size_t offset;
        const char *name;
} slot_fields[] = {
        { offsetof(ShmSlot, word), "word" },           { offsetof(ShmSlot, readers), "readers" },
        { offsetof(ShmSlot, token), "token" },         { offsetof(ShmSlot, since_usec), "since_usec" },
        { offsetof(ShmSlot, since_token), "since_token" }, { offsetof(ShmSlot, guard), "guard" },
        { offsetof(ShmSlot, head), "head" },           { offsetof(ShmSlot, tail), "tail" },
        { offsetof(ShmSlot, n_died), "n_died" },       { offsetof(ShmSlot, next_ticket), "next_ticket" },
        { offsetof(ShmSlot, n_contended), "n_contended" }, { offsetof(ShmSlot, hot_usec), "hot_usec" },
        { offsetof(ShmSlot, wait_usec_total), "wait_usec_total" }, { offsetof(ShmSlot, n_broken), "n_broken" },
        { offsetof(ShmSlot, n_waiting), "n_waiting" }, { offsetof(ShmSlot, hand_usec), "hand_usec" },
};

static const char *const entry_fields[] = { "ticket", "since_usec", "token", "next", "prev" };

static void name_in_block(char *buffer, size_t size, uint32_t block, size_t offset) {
        size_t rest;

        if (offset < offsetof(ShmBlock, journal))
                (void) snprintf(buffer, size, "P%u.%s", block,
                                offset == 0 ? "bell" : offset == 4 ? "sleepers" : "block");
        else if (offset < offsetof(ShmBlock, entries))
                (void) snprintf(buffer, size, "P%u.journal[%zu]", block, (offset - offsetof(ShmBlock, journal)) / 8);
        else if (offset < offsetof(ShmBlock, live)) {
                rest = (offset - offsetof(ShmBlock, entries)) % sizeof(ShmEntry);
                (void) snprintf(buffer, size, "P%u.entry[%zu].%s", block,
                                (offset - offsetof(ShmBlock, entries)) / sizeof(ShmEntry),
                                entry_fields[rest < 24 ? rest / 8 : rest < 28 ? 3 : 4]);
        } else
                (void) snprintf(buffer, size, "P%u.live[%zu]", block,
                                (offset - offsetof(ShmBlock, live)) / sizeof(ShmLive));
}

static void name_of(char *buffer, size_t size, const volatile void *where) {
        size_t offset = (size_t) ((const volatile char *) where - (const volatile char *) world.blocks);

        if (offset < sizeof(world.blocks)) {
                name_in_block(buffer, size, (uint32_t) (offset / sizeof(ShmBlock)), offset % sizeof(ShmBlock));
                return;
        }
        offset = (size_t) ((const volatile char *) where - (const volatile char *) world.slots);
        for (size_t i = 0; offset < sizeof(world.slots) && i < ARRAY_SIZE(slot_fields); i++)
                if (offset % sizeof(ShmSlot) == slot_fields[i].offset) {
                        (void) snprintf(buffer, size, "slot%zu.%s", offset / sizeof(ShmSlot), slot_fields[i].name);
                        return;
                }
        (void) snprintf(buffer, size, "%p", (const void *) (uintptr_t) where);
}

static bool is_wide(const volatile void *where) {
        size_t offset = (size_t) ((const volatile char *) where - (const volatile char *) world.blocks);

        if (offset < sizeof(world.blocks)) {
                offset %= sizeof(ShmBlock);
                if (offset < offsetof(ShmBlock, journal) || offset >= offsetof(ShmBlock, live))
                        return false;
                return offset < offsetof(ShmBlock, entries) ||
                       (offset - offsetof(ShmBlock, entries)) % sizeof(ShmEntry) < offsetof(ShmEntry, next);
        }
        offset = (size_t) ((const volatile char *) where - (const volatile char *) world.slots) % sizeof(ShmSlot);
        return offset < 64 || (offset >= offsetof(ShmSlot, next_ticket) && offset < offsetof(ShmSlot, n_broken)) ||
               offset == offsetof(ShmSlot, hand_usec);
}

uint64_t trace_value(const volatile void *where) {
        if (!where)
                return 0;
        return is_wide(where) ? atomic_load((const volatile _Atomic uint64_t *) where) :
                                atomic_load((const volatile _Atomic uint32_t *) where);
}

static void print_word(uint64_t w) {
        static const char *const names[] = { "WAIT", "WOKEN", "HAND", "DIED", "READ", "DRAIN", "RETIRED" };

        (void) printf("%lu", w & SHM_W_OWNER);
        for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
                if (w & SHM_W_WAIT << i)
                        (void) printf("+%s", names[i]);
}

static void print_journal(uint64_t j) {
        static const char *const names[] = {
                [SHM_NONE] = "NONE", [SHM_X] = "X",         [SHM_H] = "H",       [SHM_SA] = "SA",
                [SHM_SH] = "SH",     [SHM_UP] = "UP",       [SHM_WX] = "WX",     [SHM_WS] = "WS",
                [SHM_GUARD] = "GUARD", [SHM_BROKEN_X] = "BROKEN_X", [SHM_BROKEN_S] = "BROKEN_S",
        };

        (void) printf("%s:%lu", SHM_J_PHASE(j) < ARRAY_SIZE(names) ? names[SHM_J_PHASE(j)] : "?", j & SHM_J_SLOT);
}

static void print_value(const char *name, uint64_t value) {
        if (strstr(name, ".word"))
                print_word(value);
        else if (strstr(name, ".journal"))
                print_journal(value);
        else if (strstr(name, ".live") || strstr(name, ".guard"))
                (void) printf("%x", (unsigned) value);
        else
                (void) printf("%lu", value);
}

/* --- places in the source --------------------------------------------------------------------------- */

static int find_bias(struct dl_phdr_info *info, size_t size, void *data) {
        (void) size;
        *(uintptr_t *) data = info->dlpi_addr;
        return 1;
}

/* By addr2line, if there is one. */
static const char *place_of(const void *site) {
        static struct { const void *site; char text[96]; } known[512];
        static unsigned n_known;
        char command[128], *text;
        uintptr_t bias = 0;
        FILE *f;

        for (unsigned i = 0; i < n_known; i++)
                if (known[i].site == site)
                        return known[i].text;
        if (!site || n_known == ARRAY_SIZE(known))
                return "";
        (void) dl_iterate_phdr(find_bias, &bias);
        text = known[n_known].text;
        known[n_known++].site = site;
        (void) snprintf(command, sizeof(command), "addr2line -s -e /proc/%d/exe %lx 2>/dev/null", (int) getpid(),
                        (uintptr_t) site - bias - 1);
        f = popen(command, "r");
        if (f && fgets(text, sizeof(known[0].text), f))
                text[strcspn(text, " \n")] = 0;
        if (f)
                (void) pclose(f);
        return text;
}

/* --- lines ------------------------------------------------------------------------------------------ */

/* After an access: what it found and left. */
void trace_step(uint32_t p, uint64_t before) {
        const Proc *proc = &world.proc[p];
        uint64_t after = trace_value(proc->at);
        char name[64];

        name_of(name, sizeof(name), proc->at);
        (void) printf("# P%u %-14s %-20s ", p, place_of(proc->site), name);
        print_value(name, before);
        if (after != before) {
                (void) printf(" -> ");
                print_value(name, after);
        }
        (void) printf("\n");
}

/* Before a system call. */
void trace_call(void) {
        const Proc *proc = &world.proc[world.current];
        char name[64];

        name_of(name, sizeof(name), proc->at);
        (void) printf("# P%u %-14s %s %s\n", world.current, place_of(proc->site), proc->call, name);
}

void trace_note(const char *format, ...) {
        va_list args;

        (void) printf("#         ");
        va_start(args, format);
        (void) vprintf(format, args);
        va_end(args);
        (void) printf("\n");
}
