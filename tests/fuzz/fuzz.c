/* SPDX-License-Identifier: Apache-2.0 */
/* Driver of the fuzzers: mutates the seeds, and what came of them, for $FUZZ_SECONDS
 *
 * Without coverage feedback, but in the suite, with the compiler that builds us and under its sanitizers. A run is
 * a function of its seed: KIT_SEED=… replays it up to the input that failed, which is also printed.
 *
 * Inputs are copied into blocks of their exact size, so that AddressSanitizer sees the first byte read beyond. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"
#include "base/str.h"
#include "base/time.h"
#include "fuzz/fuzz.h"

#define INPUT_MAX 512
#define POOL_MAX 256

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_set_death_callback(void (*callback)(void)) {
}
#endif

typedef struct Input {
        char bytes[INPUT_MAX];
        size_t len;
} Input;

static Input pool[POOL_MAX], current;
static size_t n_pool;
static Prng prng;

/* The bytes that parsers look at. */
static const char telling[] = "=\n\0 .:/,\\%_[]{}\"'-+;@#0919azAZ\x7f\x80\xc3\xa9\xf0\xff";

static void print_input(void) {
        fprintf(stderr, "# failed at %zu bytes: \"", current.len);
        for (size_t i = 0; i < current.len; i++)
                fprintf(stderr, "\\x%02x", (unsigned char) current.bytes[i]);
        fprintf(stderr, "\"\n");
}

static void on_abort(int sig) {
        print_input();
        (void) signal(sig, SIG_DFL);
        (void) raise(sig);
}

static void input_set(Input *input, const char *bytes, size_t len) {
        input->len = MIN(len, sizeof(input->bytes));
        memcpy(input->bytes, bytes, input->len);
}

static char random_byte(void) {
        if (prng_chance(&prng, 2, 3))
                return telling[prng_below(&prng, sizeof(telling) - 1)];
        return (char) prng_below(&prng, 256);
}

static void input_insert(Input *input, size_t at, const char *bytes, size_t len) {
        len = MIN(len, sizeof(input->bytes) - input->len);
        memmove(input->bytes + at + len, input->bytes + at, input->len - at);
        memcpy(input->bytes + at, bytes, len);
        input->len += len;
}

static void input_cut(Input *input, size_t at, size_t len) {
        len = MIN(len, input->len - at);
        memmove(input->bytes + at, input->bytes + at + len, input->len - at - len);
        input->len -= len;
}

static void input_mutate(Input *input) {
        size_t at = prng_below(&prng, input->len + 1);
        const Input *other = &pool[prng_below(&prng, n_pool)];
        char byte = random_byte();

        switch (prng_below(&prng, 6)) {
        case 0:
                if (at < input->len)
                        input->bytes[at] = byte;
                break;
        case 1:
                if (at < input->len)
                        input->bytes[at] ^= (char) (1 << prng_below(&prng, 8));
                break;
        case 2:
                input_insert(input, at, &byte, 1);
                break;
        case 3:
                input_cut(input, at, 1 + prng_below(&prng, 4));
                break;
        case 4:
                input_insert(input, at, other->bytes, prng_below(&prng, other->len + 1));
                break;
        default:
                for (size_t i = prng_below(&prng, 300); i > 0; i--)
                        input_insert(input, at, &byte, 1);
        }
}

static void run_current(void) {
        char *text = malloc(current.len + 1);

        tooz_assert(text);
        memcpy(text, current.bytes, current.len);
        text[current.len] = 0;
        fuzz_one(text, current.len);
        free(text);
}

static void run_seeds(void) {
        for (; fuzz_seeds[n_pool] && n_pool < POOL_MAX / 2; n_pool++) {
                input_set(&pool[n_pool], fuzz_seeds[n_pool], strlen(fuzz_seeds[n_pool]));
                current = pool[n_pool];
                run_current();
        }
        tooz_assert(n_pool > 0);
}

static uint64_t number_from(const char *variable, uint64_t fallback) {
        const char *text = getenv(variable);
        uint64_t value = fallback;

        if (text && str_parse_u64(text, &value) < 0)
                fprintf(stderr, "%s=%s is no number\n", variable, text);
        return value;
}

int main(int argc, char **argv) {
        uint64_t seed, seconds, end, n_runs = 0;

        tooz_assert(random_bytes(&seed, sizeof(seed)) >= 0);
        seed = number_from("KIT_SEED", seed);
        seconds = number_from("FUZZ_SECONDS", 1);
        prng_init(&prng, seed);
        fprintf(stderr, "# KIT_SEED=%ju\n", (uintmax_t) seed);

        __sanitizer_set_death_callback(print_input);
        (void) signal(SIGABRT, on_abort);
        run_seeds();

        end = usec_add(time_now(), seconds * USEC_PER_SEC);
        do {
                current = pool[prng_below(&prng, n_pool)];
                for (uint64_t i = 1 + prng_below(&prng, 4); i > 0; i--)
                        input_mutate(&current);
                run_current();

                /* Mutants of mutants get far from the seeds; the pool forgets them at random. */
                if (prng_chance(&prng, 1, 50)) {
                        pool[n_pool < POOL_MAX ? n_pool++ : POOL_MAX / 2 + prng_below(&prng, POOL_MAX / 2)] = current;
                }
        } while (++n_runs % 256 != 0 || time_now() < end);

        printf("1..1\nok 1 - %ju inputs\n", (uintmax_t) n_runs);
        return 0;
}
