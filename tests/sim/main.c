/* SPDX-License-Identifier: Apache-2.0 */
/* sim [--seed N] [--steps N] [--runs N] [--no-faults] [--trace]: each run of so many steps has the next seed */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "base/time.h"
#include "sim/world.h"

typedef struct Options {
        uint64_t seed, steps, runs;
        bool faults, trace;
} Options;

static uint64_t number(const char *text) {
        uint64_t n;

        if (str_parse_u64(text, &n) < 0) {
                fprintf(stderr, "sim: %s is no number\n", text);
                exit(2);
        }
        return n;
}

static void parse(Options *o, int argc, char *argv[]) {
        static const struct option options[] = {
                { "seed", required_argument, NULL, 's' }, { "steps", required_argument, NULL, 'n' },
                { "runs", required_argument, NULL, 'r' }, { "no-faults", no_argument, NULL, 'f' },
                { "trace", no_argument, NULL, 't' },      {},
        };
        const char *seed = getenv("TOOZ_SEED");
        int c;

        *o = (Options) { .seed = seed ? number(seed) : 0, .steps = 1000000, .runs = 1, .faults = true };
        if (!seed && random_bytes(&o->seed, sizeof(o->seed)) < 0)
                exit(1);
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                if (c == 's')
                        o->seed = number(optarg);
                else if (c == 'n')
                        o->steps = number(optarg);
                else if (c == 'r')
                        o->runs = number(optarg);
                else if (c == 'f')
                        o->faults = false;
                else if (c == 't')
                        o->trace = true;
                else
                        exit(2);
        }
}

int main(int argc, char *argv[]) {
        uint64_t begin = time_now(), spent;
        Options o;

        parse(&o, argc, argv);
        for (uint64_t i = 0; i < o.runs; i++) {
                WorldStats s = {};

                world_run(o.seed + i, o.steps, o.faults, o.trace, &s);
                printf("seed %" PRIu64 ": %" PRIu64 " faults, %" PRIu64 " kills; %" PRIu64 " grants, %" PRIu64 " shared, %" PRIu64
                       " upgrades, %" PRIu64 " deadlocks; %" PRIu64 " died, %" PRIu64 " told; %" PRIu64 " suspended, %" PRIu64
                       " resumed; lost: %" PRIu64 " deadline, %" PRIu64 " expired, %" PRIu64 " broken\n",
                       o.seed + i, s.n_faults, s.n_kills, s.n_grants, s.n_shared, s.n_upgrades, s.n_deadlocks, s.n_died,
                       s.n_told_died, s.n_suspended, s.n_resumed, s.n_deadline, s.n_expired, s.n_broken);
                fflush(stdout);
        }
        spent = time_now() - begin;
        printf("%" PRIu64 " steps in %.1f s\n", o.runs * o.steps, (double) spent / 1e6);
        return 0;
}
