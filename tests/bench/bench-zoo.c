/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-zoo HOSTS N: one zoo_create() of an ephemeral, sequential node, as a lock needs it, in microseconds.
 * The node is deleted outside of what is measured, and a pause follows, as in bench-client. The synchronous API:
 * what a program without us would call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define PAUSE_USEC 2000

static double now_usec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv) {
        int n = argc == 3 ? atoi(argv[2]) : 0;
        zhandle_t *zh = NULL;
        double *usec;
        char made[256];

        if (n <= 0) {
                fprintf(stderr, "usage: bench-zoo HOSTS N\n");
                return 2;
        }
        zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
        usec = calloc((size_t) n, sizeof(double));
        zh = zookeeper_init(argv[1], NULL, 15000, NULL, NULL, 0);
        if (!usec || !zh)
                return 1;
        while (zoo_create(zh, "/bench", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZCONNECTIONLOSS)
                usleep(1000);
        for (int i = 0; i < n; i++) {
                double start = now_usec();

                if (zoo_create(zh, "/bench/0123456789abcdef0123456789abcdef__lock__", "bench", 5, &ZOO_OPEN_ACL_UNSAFE,
                               ZOO_EPHEMERAL | ZOO_SEQUENCE, made, sizeof(made)) != ZOK)
                        return 1;
                usec[i] = now_usec() - start;
                if (zoo_delete(zh, made, -1) != ZOK)
                        return 1;
                usleep(PAUSE_USEC);
        }
        zookeeper_close(zh);
        qsort(usec, (size_t) n, sizeof(double), compare);
        printf("{\"n\": %d, \"p50\": %.2f, \"p99\": %.2f}\n", n, usec[n / 2], usec[n * 99 / 100]);
        free(usec);
        return 0;
}
