/* SPDX-License-Identifier: Apache-2.0 */
/* Holds a lock of the second kind for a test in Python: ofd-hold PATH shared|exclusive USEC|infinity
 *
 * "held", and then it is held until the input ends; or the name of the error, and exit status 1. */

#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "local/ofd.h"
#include "shm/futex.h"

static int fail(int error) {
        printf("%s\n", strerrorname_np(-error));
        return 1;
}

int main(int argc, char **argv) {
        uint64_t usec = USEC_INFINITY;
        char byte;
        int fd, r;

        if (argc != 4 || (!streq(argv[2], "shared") && !streq(argv[2], "exclusive")) ||
            (!streq(argv[3], "infinity") && str_parse_u64(argv[3], &usec) < 0))
                return 2;

        fd = ofd_open(argv[1], false);
        if (fd < 0)
                return fail(fd);
        r = ofd_lock(fd, streq(argv[2], "shared"), usec > 0 ? usec_add(shm_now(), usec) : 0, false);
        if (r < 0)
                return fail(r);

        printf("held\n");
        (void) fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
                ;
        return 0;
}
