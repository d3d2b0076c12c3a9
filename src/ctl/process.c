/* SPDX-License-Identifier: Apache-2.0 */
/* Processes below one
 *
 * Found by their parents in /proc, since a process can leave its group and its session but not its parents: when one
 * dies its children go to the next subreaper above, which is us. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "ctl/process.h"

typedef struct Process {
        ProcessId id;
        pid_t parent;
        bool below;
} Process;

typedef struct ProcessTable {
        Process *all;
        size_t n;
        size_t size;
} ProcessTable;

static void process_table_done(ProcessTable *t) {
        free(t->all);
}

void process_set_done(ProcessSet *set) {
        free(set->ids);
        *set = (ProcessSet) {};
}

bool process_set_has(const ProcessSet *set, const ProcessId *id) {
        for (size_t i = 0; set && i < set->n; i++)
                if (set->ids[i].pid == id->pid && set->ids[i].start == id->start)
                        return true;
        return false;
}

static int process_set_add(ProcessSet *set, const ProcessId *id) {
        if (set->n == set->size) {
                size_t size = set->size * 2 + 16;
                ProcessId *ids = reallocarray(set->ids, size, sizeof(*ids));

                if (!ids)
                        return -ENOMEM;
                set->ids = ids;
                set->size = size;
        }
        set->ids[set->n++] = *id;
        return 0;
}

/* The text of /proc/PID/stat: "PID (NAME) STATE PPID …", the 22nd field is the start. The name may hold anything,
 * parentheses included. 1, or 0 for a zombie. */
static int stat_parse(const char *text, Process *ret) {
        const char *rest = strrchr(text, ')');
        unsigned long long start;
        char state;
        int parent;

        if (!rest || sscanf(rest, ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                            &state, &parent, &start) != 3)
                return -EBADMSG;
        ret->parent = parent;
        ret->id.start = start;
        return state != 'Z' && state != 'X';
}

/* 1, 0: a zombie, or -errno: gone. */
static int process_read(pid_t pid, Process *ret) {
        char path[64], text[1024];
        _cleanup_close_ int fd = -1;
        ssize_t n;

        *ret = (Process) { .id.pid = pid };
        (void) str_print(path, sizeof(path), "/proc/%d/stat", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return stat_parse(text, ret);
}

static int process_table_add(ProcessTable *t, const Process *p) {
        if (t->n == t->size) {
                size_t size = t->size * 2 + 256;
                Process *all = reallocarray(t->all, size, sizeof(*all));

                if (!all)
                        return -ENOMEM;
                t->all = all;
                t->size = size;
        }
        t->all[t->n++] = *p;
        return 0;
}

static int process_table_read(ProcessTable *t) {
        DIR *dir = opendir("/proc");
        struct dirent *entry;
        int r = 0;

        if (!dir)
                return -errno;
        while (r >= 0 && (entry = readdir(dir))) {
                unsigned pid;
                Process p;

                if (str_parse_uint(entry->d_name, &pid) >= 0 && process_read((pid_t) pid, &p) > 0)
                        r = process_table_add(t, &p);
        }
        (void) closedir(dir);
        return r;
}

/* Marks and adds the children of `parent` that are not yet below. */
static int process_table_descend(ProcessTable *t, pid_t parent, const ProcessSet *except, ProcessSet *ret) {
        int r;

        for (size_t i = 0; i < t->n; i++) {
                Process *p = &t->all[i];

                if (p->parent != parent || p->below || process_set_has(except, &p->id))
                        continue;
                p->below = true;
                r = process_set_add(ret, &p->id);
                if (r < 0)
                        return r;
        }
        return 0;
}

int process_find_below(pid_t root, const ProcessSet *except, ProcessSet *ret) {
        _cleanup_(process_table_done) ProcessTable t = {};
        int r;

        ret->n = 0;
        r = process_table_read(&t);
        if (r < 0)
                return r;
        r = process_table_descend(&t, root, except, ret);
        for (size_t i = 0; r >= 0 && i < ret->n; i++)
                r = process_table_descend(&t, ret->ids[i].pid, except, ret);
        return r;
}

static void process_signal(const ProcessId *id, int signal) {
        _cleanup_close_ int fd = (int) syscall(SYS_pidfd_open, id->pid, 0);
        Process p;

        if (fd < 0)
                return;
        /* The descriptor stands for whoever has the number now: is that the one that was meant? */
        if (process_read(id->pid, &p) < 0 || p.id.start != id->start)
                return;
        (void) syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}

void process_signal_all(const ProcessSet *set, int signal) {
        for (size_t i = 0; i < set->n; i++)
                process_signal(&set->ids[i], signal);
}
