/* SPDX-License-Identifier: Apache-2.0 */
/* Failures are ignored, as everything that concerns a manager who may not be there. */

#include <fcntl.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "base/str.h"
#include "sd/store.h"

void store_keep(const char *name, int fd) {
        char text[128];

        if (str_print(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name) >= 0)
                (void) sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

void store_forget(const char *name) {
        (void) sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

int store_take(const char *name, int *ret, size_t max) {
        char **names = NULL;
        size_t taken = 0;
        int n;

        n = sd_listen_fds_with_names(0, &names);
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                /* What was taken before has another meaning by now, or none. */
                if (taken < max && streq(names[i], name) && fcntl(fd, F_GETFD) >= 0)
                        ret[taken++] = fd;
                free(names[i]);
        }
        free(names);
        if (taken > 0)
                (void) unsetenv("LISTEN_FDS");
        return (int) taken;
}
