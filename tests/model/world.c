/* SPDX-License-Identifier: Apache-2.0 */
/* An arena by hand, in ordinary memory; keeping, going back to and comparing states */

#include "model/model.h"

World world;
const Scenario *scenario;
uint32_t n_procs;
char model_stacks[PROCS][STACK_SIZE] __attribute__((aligned(64)));

static ShmHeader header;
static ShmArena arena;
static ShmSeat seats[PROCS + 1][SHM_ENTRIES];
static ShmSeat *chunks[PROCS + 1][1];

/* --- making ----------------------------------------------------------------------------------------- */

static void block_init(uint32_t index) {
        ShmBlock *b = &world.blocks[index];

        b->state = SHM_BLOCK_USED;
        b->master = index;
        b->pid = b->tid = index + 1;
        for (uint32_t e = 0; e < SHM_ENTRIES; e++) {
                b->live[e].word = index + 1;
                seats[index][e] = (ShmSeat) {
                        .ref = shm_ref(index, e),
                        .reader_bit = UINT64_C(1) << index % 64,
                        .journal = &b->journal[e],
                        .entry = &b->entries[e],
                        .live = &b->live[e].word,
                        .block = b,
                };
        }
        chunks[index][0] = seats[index];
        world.actor[index] = (ShmActor) {
                .arena = &arena,
                .spare = seats[index],
                .first = b,
                .serial = index + 1,
                .n_blocks = 1,
                .blocks_max = 1,
                .chunks = chunks[index],
        };
}

static void hold_init(uint32_t p, uint32_t slot) {
        ShmHold *h = &world.hold[p][slot];

        shm_hold_init(h, &arena, slot + 1, 1);
        if (scenario->slow)
                h->fast = NULL;
}

void world_init(const Scenario *s) {
        scenario = s;
        memset(&world, 0, sizeof(world));
        header.n_blocks = PROCS + 1;
        header.n_slots = SLOTS + 1;
        arena = (ShmArena) { .header = &header, .blocks = world.blocks, .slots = world.slots, .fd = -1 };
        world.now = CLOCK_START;
        world.kills_left = s->kills;
        world.clocks_left = s->clocks;
        for (uint32_t i = 1; i <= SLOTS; i++) {
                world.slots[i].word = UINT64_C(1) << 32;
                world.slots[i].next_ticket = 1;
                world.slots[i].token = world.slots[i].token_first = 2;
        }
        for (uint32_t p = 0; p <= PROCS; p++) {
                block_init(p);
                for (uint32_t i = 0; i < SLOTS; i++)
                        hold_init(p, i);
        }
        for (n_procs = 0; n_procs < PROCS && s->program[n_procs]; n_procs++)
                world.proc[n_procs].sp = coroutine_new(model_stacks[n_procs], STACK_SIZE, proc_main);
}

/* A seat is taken by what is written to its journal. There are no more blocks here. */
ShmSeat *shm_seat_take(ShmActor *actor, int *ret_error) {
        (void) ret_error;
        if (!shm_seat_is_used(actor->spare))
                return actor->spare;
        for (uint32_t e = 0; e < scenario->entries; e++)
                if (!shm_seat_is_used(&actor->chunks[0][e]))
                        return &actor->chunks[0][e];
        model_fail("the scenario needs more entries");
        model_stop_forever();
}

/* --- keeping ---------------------------------------------------------------------------------------- */

/* What a block has that changes. */
static void block_parts(ShmBlock *b, void (*do_part)(void *part, size_t size, void *data), void *data) {
        do_part(b, 64, data);
        do_part(b->journal, scenario->entries * sizeof(b->journal[0]), data);
        do_part(b->entries, scenario->entries * sizeof(b->entries[0]), data);
        for (uint32_t e = 0; e < scenario->entries; e++)
                do_part(&b->live[e], 8, data);
}

static void parts(void (*do_part)(void *part, size_t size, void *data), void *data) {
        do_part(&world, offsetof(World, queue), data);
        do_part(world.queue, world.n_queued * sizeof(Queued), data);
        do_part(world.proc, n_procs * sizeof(Proc), data);
        for (uint32_t p = 0; p < n_procs; p++) {
                char *sp = world.proc[p].sp;

                do_part(world.hold[p], sizeof(world.hold[p]), data);
                do_part(&world.actor[p].spare, sizeof(world.actor[p].spare), data);
                do_part(sp, (size_t) (model_stacks[p] + STACK_SIZE - sp), data);
        }
        for (uint32_t i = 1; i <= SLOTS; i++)
                do_part(&world.slots[i], 128, data);
        for (uint32_t p = 0; p < n_procs; p++)
                block_parts(&world.blocks[p], do_part, data);
        block_parts(&world.blocks[JANITOR], do_part, data);
}

typedef struct Buffer {
        char *data;
        size_t len, size;
} Buffer;

static void part_save(void *part, size_t size, void *data) {
        Buffer *b = data;

        if (b->len + size > b->size) {
                b->size = (b->len + size) * 2;
                b->data = realloc(b->data, b->size);
                if (!b->data)
                        abort();
        }
        memcpy(b->data + b->len, part, size);
        b->len += size;
}

static void part_restore(void *part, size_t size, void *data) {
        const char **from = data;

        memcpy(part, *from, size);
        *from += size;
}

size_t world_save(char **buffer, size_t *size) {
        Buffer b = { .data = *buffer, .size = *size };

        parts(part_save, &b);
        *buffer = b.data;
        *size = b.size;
        return b.len;
}

/* What comes first says how long the rest is. */
void world_restore(const char *buffer) {
        parts(part_restore, &buffer);
}

/* --- comparing -------------------------------------------------------------------------------------- */

/* Whatever the memory is to others. */
typedef uint64_t __attribute__((__may_alias__)) Raw;

static uint64_t mix(uint64_t hash, uint64_t value) {
        hash = (hash ^ value) * UINT64_C(0x9fb21c651e98df25);
        return hash ^ hash >> 29;
}

/* Two lanes: a multiplication need not wait for the one before. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
        const Raw *words = data;
        uint64_t other = UINT64_C(0x2545f4914f6cdd1d);
        size_t n = size / 8;

        for (size_t i = 0; i + 1 < n; i += 2) {
                hash = mix(hash, words[i]);
                other = mix(other, words[i + 1]);
        }
        if (n & 1)
                hash = mix(hash, words[n - 1]);
        return mix(hash, other);
}

static uint64_t hash_hold(uint64_t hash, const ShmHold *h) {
        if (!h->seat)
                return mix(hash, 1);
        hash = hash_bytes(hash, h, offsetof(ShmHold, words));
        hash = hash_bytes(hash, h->words, h->n_words * sizeof(h->words[0]));
        return mix(hash, h->until_usec);
}

/* Without what is only counted. */
static uint64_t hash_slot(uint64_t hash, ShmSlot *s) {
        hash = mix(mix(mix(hash, s->word), s->readers), s->token);
        hash = mix(mix(hash, (uint64_t) s->guard << 32 | s->head), (uint64_t) s->tail << 32 | s->n_waiting);
        return mix(mix(mix(hash, s->next_ticket), s->hot_usec), s->hand_usec);
}

static uint64_t hash_block(uint64_t hash, ShmBlock *b) {
        hash = mix(hash, (uint64_t) b->bell << 32 | b->sleepers);
        for (uint32_t e = 0; e < scenario->entries; e++) {
                hash = mix(mix(hash, b->journal[e]), b->live[e].word);
                hash = hash_bytes(hash, &b->entries[e], sizeof(b->entries[e]));
        }
        return hash;
}

uint64_t world_hash(bool with_current) {
        uint8_t preempt_left = world.preempt_left, current = world.current;
        uint64_t hash = UINT64_C(0x5851f42d4c957f2d);

        world.preempt_left = 0;
        if (!with_current && !world.proc[current].fresh)
                world.current = 0;
        hash = hash_bytes(hash, &world, offsetof(World, queue));
        world.preempt_left = preempt_left;
        world.current = current;

        hash = hash_bytes(hash, world.queue, world.n_queued * sizeof(Queued));
        hash = hash_bytes(hash, world.proc, n_procs * sizeof(Proc));
        for (uint32_t p = 0; p < n_procs; p++) {
                const char *sp = world.proc[p].sp;

                if (world.proc[p].state >= PROC_DYING)
                        continue;
                for (uint32_t i = 0; i < SLOTS; i++)
                        hash = hash_hold(hash, &world.hold[p][i]);
                hash = mix(hash, (uintptr_t) world.actor[p].spare);
                hash = hash_bytes(hash, sp, (size_t) (model_stacks[p] + STACK_SIZE - sp));
        }
        for (uint32_t i = 1; i <= SLOTS; i++)
                hash = hash_slot(hash, &world.slots[i]);
        for (uint32_t p = 0; p < n_procs; p++)
                hash = hash_block(hash, &world.blocks[p]);
        return hash;
}
