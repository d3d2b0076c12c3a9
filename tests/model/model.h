/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Model: the functions of src/shm as they are, run by processes whose every step the checker chooses
 *
 * A process is a coroutine. Before each access to shared memory (shm/atom.h) and each system call it stops, and the
 * search decides who goes on, who is killed, and whether a clock runs out. All that changes lies in `world` and on the
 * stacks of the processes, so a state can be kept, compared with others and gone back to.
 *
 * What it does not show: weak memory. Every access is sequentially consistent here, as all are in src/shm but for
 * the plain stores of the fast path to words that others read only after a locked instruction of the same thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"
#include "shm/hold.h"
#include "shm/recover.h"

#define PROCS 3u         /* at most; one more cleans up at the end */
#define JANITOR PROCS
#define ENTRIES 2u       /* of each block that are looked at */
#define SLOTS 2u
#define STACK_SIZE ((size_t) 64 << 10)
#define CHOICES_MAX 16u
#define QUEUE_MAX 64u
#define UNBOUNDED 15u
#define CLOCK_START UINT64_C(1000000)

typedef struct Scenario {
        const char *name;
        const char *program[PROCS]; /* see process.c */
        uint8_t kills;   /* 0: 1 */
        uint8_t clocks;  /* that run out although somebody could go on; 0: 1 */
        uint8_t entries; /* of each process; 0: 1 */
        uint32_t timeout_usec;  /* of `T`, `t` and `V` */
        bool slow;              /* without the fast path */
        bool net;               /* with the 1 s net of hold.c */
} Scenario;

typedef enum ProcState {
        PROC_RUNS,
        PROC_SLEEPS,
        PROC_DYING, /* killed: the kernel cleans up behind it */
        PROC_DEAD,
        PROC_DONE,
} ProcState;

typedef enum Belief {
        BELIEF_NONE,
        BELIEF_SHARED,
        BELIEF_EXCLUSIVE,
} Belief;

/* Without padding: it is compared. */
typedef struct Proc {
        void *sp;
        uint64_t until_usec;
        uint64_t token[SLOTS];
        const volatile void *at; /* what it will do next, for who reads the schedule and for spinning */
        const char *call;        /* of the kernel */
        const void *site;
        uint32_t woken;          /* words of the sleep */
        uint8_t state;
        uint8_t exit_step;
        uint8_t belief[SLOTS];
        uint8_t breaking[SLOTS]; /* somebody is about to take it away: does not count */
        uint8_t told[SLOTS];     /* ... and has */
        uint8_t spins;
        uint8_t kill_only;       /* stopped where nobody else can see a difference */
        uint8_t fresh;           /* something changed since it could last have been killed */
        uint8_t pad[6];
} Proc;

typedef struct Queued {
        _Atomic uint32_t *address;
        uint32_t proc;
        uint32_t index;
} Queued;

typedef struct World {
        uint64_t now;
        uint64_t max_exclusive[SLOTS]; /* tokens so far */
        uint64_t max_shared[SLOTS];
        uint64_t break_token[SLOTS];   /* last one that was to be broken: all readers of a time have the same */
        uint32_t n_queued;
        uint8_t current;
        uint8_t kills_left;
        uint8_t clocks_left;
        uint8_t forced_clocks;
        uint8_t died[SLOTS]; /* an exclusive holder was killed, and nobody marked it consistent */
        uint8_t any_killed;
        uint8_t breaks;      /* somebody is about to break something */
        uint8_t preempt_left; /* not compared */
        uint8_t pad[3];
        Queued queue[QUEUE_MAX];
        Proc proc[PROCS];
        ShmHold hold[PROCS + 1][SLOTS];
        ShmActor actor[PROCS + 1];
        ShmSlot slots[SLOTS + 1];
        ShmBlock blocks[PROCS + 1];
} World;

extern World world;
extern const Scenario *scenario;
extern uint32_t n_procs;
extern char model_stacks[PROCS][STACK_SIZE];
extern char failure[512];
extern bool model_solo;  /* one process alone, which never stops */
extern bool model_trace;
extern const char *model_bug;
extern uint64_t n_steps;

/* coroutine.c */
extern const bool coroutine_works;
void coroutine_switch(void **from, void *to);
void *coroutine_new(char *stack, size_t size, void (*entry)(void));

/* world.c */
void world_init(const Scenario *s);
size_t world_save(char **buffer, size_t *size);
void world_restore(const char *buffer);
uint64_t world_hash(bool with_current);

/* kernel.c */
void proc_resume(uint32_t p);   /* until it stops again */
void proc_kill(uint32_t p);
bool proc_can_run(uint32_t p);
bool proc_has_clock(uint32_t p, uint64_t *ret_usec);
void proc_stop(void);           /* called by the process */
void stop_in_call(const char *call, const volatile void *where, const void *site);
_noreturn_ void model_stop_forever(void);
bool model_alone(void (*run)(void));
void model_fail(const char *format, ...) _printf_(1, 2);
void kernel_unqueue(uint32_t p);

/* process.c */
void proc_main(void);
int model_acquire(uint32_t p, uint32_t slot, bool shared, uint64_t timeout_usec);

/* check.c */
void check_step(void);
void check_end(void);
void check_granted(uint32_t p, uint32_t slot);
void check_killed(uint32_t p);

/* trace.c */
void trace_step(uint32_t p, uint64_t before);
void trace_call(void);
void trace_note(const char *format, ...) _printf_(1, 2);
uint64_t trace_value(const volatile void *where);

/* search.c */
typedef struct Result {
        uint64_t n_executions, n_states, n_kills, n_steps;
} Result;
double seconds_used(void); /* of the processor */
/* Adds to `r`. Every schedule with so many switches away from somebody who could go on; UNBOUNDED: every one.
 * `*ret_complete`: that was all, in the time. False: `failure` says why, and the schedule has been printed. */
bool search(const Scenario *s, unsigned preempt, double seconds_max, Result *r, bool *ret_complete);
bool search_random(const Scenario *s, uint64_t seed, uint64_t runs, double seconds_max, Result *r);
