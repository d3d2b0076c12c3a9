/* SPDX-License-Identifier: Apache-2.0 */
/* A lock in C, with libtooz: lock NAME [SECONDS] [DOMAIN]
 *
 *     cc lock.c -o lock $(pkg-config --cflags --libs libtooz) */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tooz/tooz.h>

#define STEP_NSEC 100000000 /* a tenth of a second of work */

static const char *const previous_words[] = {
        [TOOZ_PREVIOUS_UNKNOWN] = "unknown",
        [TOOZ_PREVIOUS_RELEASED] = "released",
        [TOOZ_PREVIOUS_DIED] = "died",
};

/* Whatever the lock protects should be told the token and refuse smaller ones: a check says what was true a moment
 * ago, and this process may be stopped between it and the next line. */
static int work(tooz_claim *claim, double seconds) {
        for (double left = seconds; left > 0; left -= STEP_NSEC / 1e9) {
                if (tooz_claim_check(claim, NULL) <= 0)
                        return -1;
                nanosleep(&(struct timespec) { .tv_nsec = STEP_NSEC }, NULL);
        }
        return 0;
}

static void say_held(tooz_claim *claim, const char *name) {
        tooz_previous previous = TOOZ_PREVIOUS_UNKNOWN;
        uint64_t token = 0;

        (void) tooz_claim_get_token(claim, &token);
        (void) tooz_claim_get_previous(claim, &previous);
        printf("holds %s, token %" PRIu64 ", previous holder: %s\n", name, token, previous_words[previous]);
        fflush(stdout);
}

static int run(tooz_client *client, const char *name, double seconds, const char *domain) {
        tooz_claim *claim = NULL;
        const char *reason = "";
        int r;

        r = tooz_lock(client, &claim, domain, name, NULL); /* exclusive, waits as long as it takes */
        if (r < 0) {
                fprintf(stderr, "lock %s: %s %s\n", name, strerror(-r), tooz_client_get_error(client));
                return EXIT_FAILURE;
        }
        say_held(claim, name);
        r = work(claim, seconds);
        (void) tooz_claim_get_reason(claim, &reason);
        if (r < 0)
                printf("lost: %s\n", reason);
        else
                printf("released\n");
        tooz_claim_unref(claim); /* gives it back */
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        tooz_client *client = NULL;
        int r;

        if (argc < 2) {
                fprintf(stderr, "usage: %s NAME [SECONDS] [DOMAIN]\n", argv[0]);
                return 2;
        }
        r = tooz_client_open(&client, NULL, 0);
        if (r < 0) {
                fprintf(stderr, "can't reach tooz-agent: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        r = run(client, argv[1], argc > 2 ? strtod(argv[2], NULL) : 1, argc > 3 ? argv[3] : NULL);
        tooz_client_unref(client);
        return r;
}
