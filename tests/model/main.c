/* SPDX-License-Identifier: Apache-2.0 */
/* check-model [--long] [--only=WORDS] [--stop] [--bug=NAME] [--random=RUNS] [--seed=N] [--seconds=N] [--preempt=N]
 *      [--kills=N]
 *
 * `--seconds`: of each scenario. `--stop`: at the first that fails. */

#include <getopt.h>
#include <stdio.h>

#include "model/scenarios.h"

static struct {
        const char *only, *bug;
        bool is_long, stop;
        uint64_t runs, seed;
        double seconds;
        int preempt, kills;
} options = { .seed = 1, .preempt = -1, .kills = -1 };

static bool parse(int argc, char **argv) {
        static const struct option names[] = {
                { "long", no_argument, NULL, 'l' },          { "only", required_argument, NULL, 'o' },
                { "bug", required_argument, NULL, 'b' },     { "random", required_argument, NULL, 'r' },
                { "seed", required_argument, NULL, 's' },    { "seconds", required_argument, NULL, 't' },
                { "preempt", required_argument, NULL, 'p' }, { "kills", required_argument, NULL, 'k' },
                { "stop", no_argument, NULL, 'x' },          {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
                switch (c) {
                case 'l': options.is_long = true; break;
                case 'x': options.stop = true; break;
                case 'o': options.only = optarg; break;
                case 'b': options.bug = model_bug = optarg; break;
                case 'r': options.runs = strtoull(optarg, NULL, 10); break;
                case 's': options.seed = strtoull(optarg, NULL, 10); break;
                case 't': options.seconds = strtod(optarg, NULL); break;
                case 'p': options.preempt = atoi(optarg); break;
                case 'k': options.kills = atoi(optarg); break;
                default: return false;
                }
        }
        return true;
}

/* With few switches first: then the first schedule that fails is a short one. `text`: how far it came. */
static bool run_exhaustive(const Scenario *s, double seconds, Result *r, char *text, size_t size) {
        static const unsigned bounds[] = { 0, 1, 2, 3, 4, 5, 6, UNBOUNDED };
        double end = seconds_used() + seconds, left;

        (void) snprintf(text, size, "not even all schedules without a switch");
        for (size_t i = 0; i < ARRAY_SIZE(bounds) && (left = end - seconds_used()) > 0; i++) {
                bool complete;

                if (options.preempt >= 0 && bounds[i] != (unsigned) options.preempt)
                        continue;
                if (!search(s, bounds[i], left, r, &complete))
                        return false;
                if (!complete)
                        break;
                (void) snprintf(text, size, bounds[i] == UNBOUNDED ? "all schedules" :
                                "all schedules with up to %u switches", bounds[i]);
        }
        return true;
}

static bool run(const Scenario *s, Result *r, char *text, size_t size) {
        double seconds = options.seconds > 0 ? options.seconds : options.is_long ? 180 : 1.8;

        if (options.runs > 0) {
                (void) snprintf(text, size, "at random from seed %lu", options.seed);
                return search_random(s, options.seed, options.runs, options.seconds > 0 ? options.seconds : 1e9, r);
        }
        return run_exhaustive(s, seconds, r, text, size) &&
               search_random(s, options.seed, UINT64_MAX / 2, seconds / 6, r);
}

/* What a scenario leaves out, and what the options change. */
static Scenario prepare(const Scenario *from) {
        Scenario s = *from;

        s.kills = options.kills >= 0 ? (uint8_t) options.kills : MAX(s.kills, 1);
        s.clocks = MAX(s.clocks, 1);
        s.entries = MAX(s.entries, 1);
        if (!options.bug)
                model_bug = s.net ? NULL : "none";
        return s;
}

static bool one(const Scenario *from, unsigned n) {
        Scenario s = prepare(from);
        double started = seconds_used();
        char text[64];
        Result r = {};
        bool good = run(&s, &r, text, sizeof(text));

        (void) printf("%s %u - %s: %s; %lu executions, %lu states, %lu steps, %lu kills, %.1f s\n",
                      good ? "ok" : "not ok", n, s.name, good ? text : failure, r.n_executions, r.n_states, r.n_steps,
                      r.n_kills, seconds_used() - started);
        (void) fflush(stdout);
        return good;
}

int main(int argc, char **argv) {
        unsigned n = 0, n_bad = 0;

        if (!parse(argc, argv))
                return 2;
        if (!coroutine_works) {
                (void) printf("1..0 # SKIP no coroutines for this processor\n");
                return 0;
        }
        for (size_t i = 0; i < n_scenarios && !(options.stop && n_bad > 0); i++)
                if (!options.only || strstr(scenarios[i].name, options.only))
                        n_bad += !one(&scenarios[i], ++n);
        (void) printf("1..%u\n", n);
        return n_bad > 0;
}
