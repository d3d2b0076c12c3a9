/* SPDX-License-Identifier: Apache-2.0 */
/* What the kit must catch; run by test-kit.sh */

#include <fcntl.h>

#include "support/kit.h"

KIT_SUITE(leak);

Test(leak, nothing) {
        _cleanup_close_ int fd = open(kit_path("file"), O_CREAT | O_RDONLY | O_CLOEXEC, 0600);

        kit_ok(fd);
}

Test(leak, descriptor) {
        kit_ok(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

Test(leak, memory) {
        void *volatile lost = malloc(10);

        lost = NULL;
        (void) lost;
}

Test(leak, assertion) {
        kit_fails(-1, -2);
}
