/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "shm/delegate.h"
#include "shm/recover.h"

static int byte_set(int fd, uint32_t block, short type) {
        struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = SHM_DELEGATE_BYTE(block), .l_len = 1 };

        return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static uint32_t master_of(const ShmActor *actor) {
        return (uint32_t) (actor->first - actor->arena->blocks);
}

/* Opened anew: the description of `arena->fd` also has the directory lock, which must end with us. */
static int reopen(int fd) {
        char path[64];
        int copy;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        copy = open(path, O_RDWR | O_CLOEXEC);
        return copy < 0 ? -errno : copy;
}

int shm_delegate_stand(ShmActor *actor, int *ret_fd) {
        int fd, r;

        fd = reopen(actor->arena->fd);
        if (fd < 0)
                return fd;
        r = byte_set(fd, master_of(actor), F_WRLCK);
        if (r < 0) {
                fd_close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

static void recover_block(ShmArena *arena, uint32_t self, uint32_t block) {
        for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                if (SHM_J_PHASE(atom_load(&arena->blocks[block].journal[e])) != SHM_NONE &&
                    shm_ref_is_dead(arena, shm_ref(block, e)))
                        (void) shm_recover_stray(arena, self, shm_ref(block, e));
}

unsigned shm_delegate_recover(ShmActor *actor, int fd) {
        ShmArena *arena = actor->arena;
        uint32_t n_blocks = shm_n_blocks(arena);
        unsigned n = 0;
        ShmSeat *seat;
        int r;

        seat = shm_seat_take(actor, &r);
        for (uint32_t b = 0; b < n_blocks; b++)
                if (atom_load(&arena->blocks[b].state) == SHM_BLOCK_DELEGATED)
                        (void) byte_set(fd, b, F_UNLCK);
        for (uint32_t b = 0; seat && b < n_blocks; b++)
                if (atom_load(&arena->blocks[b].state) == SHM_BLOCK_DELEGATED) {
                        recover_block(arena, seat->ref, b);
                        n++;
                }
        return n;
}
