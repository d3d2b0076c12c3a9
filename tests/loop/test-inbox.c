/* SPDX-License-Identifier: Apache-2.0 */
/* From foreign threads to the loop */

#include <pthread.h>

#include "loop/inbox.h"
#include "loop/loop-kit.h"

KIT_SUITE(inbox);

#define N_PRODUCERS 4
#define N_ITEMS 25000 /* of each */

typedef struct Letter {
        InboxItem item;
        unsigned producer;
        unsigned number;
} Letter;

typedef struct Office {
        Inbox inbox;
        unsigned next[N_PRODUCERS]; /* number of the letter that must come next */
        unsigned n_got;
        Inbox *victim;
} Office;

typedef struct Producer {
        pthread_t thread;
        Inbox *inbox;
        unsigned index;
        Letter *letters;
} Producer;

static void office_receive(Inbox *inbox, InboxItem *item) {
        Office *office = container_of(inbox, Office, inbox);
        Letter *letter = container_of(item, Letter, item);

        loop_assert_owner(inbox->loop);
        cr_assert_eq(letter->number, office->next[letter->producer]);
        office->next[letter->producer]++;
        office->n_got++;
        memset(letter, 0xa5, sizeof(*letter)); /* ours from here on */
}

static void *producer_main(void *arg) {
        Producer *producer = arg;

        for (unsigned i = 0; i < N_ITEMS; i++) {
                producer->letters[i] = (Letter) { .producer = producer->index, .number = i };
                inbox_push(producer->inbox, &producer->letters[i].item);
        }
        return NULL;
}

LOOP_TEST(inbox, many_threads_each_in_order) {
        Producer producers[N_PRODUCERS];
        Loop *loop = loop_kit_new(kind);
        Office office = {};

        kit_ok(inbox_init(&office.inbox, loop, office_receive));
        for (unsigned i = 0; i < N_PRODUCERS; i++) {
                producers[i] = (Producer) { .inbox = &office.inbox, .index = i,
                                            .letters = calloc(N_ITEMS, sizeof(Letter)) };
                cr_assert_eq(pthread_create(&producers[i].thread, NULL, producer_main, &producers[i]), 0);
        }

        /* A lost wake-up would be a hang. */
        while (office.n_got < N_PRODUCERS * N_ITEMS)
                kit_ok(loop_run_once(loop));
        for (unsigned i = 0; i < N_PRODUCERS; i++) {
                cr_assert_eq(office.next[i], N_ITEMS);
                pthread_join(producers[i].thread, NULL);
                free(producers[i].letters);
        }
        inbox_deinit(&office.inbox);
        loop_free(loop);
}

static void push(Office *office, Letter *letter, unsigned number) {
        *letter = (Letter) { .number = number };
        inbox_push(&office->inbox, &letter->item);
}

LOOP_TEST(inbox, one_wakeup_for_a_heap_of_items) {
        Loop *loop = loop_kit_new(kind);
        Letter letters[50];
        Office office = {};
        uint64_t n;

        kit_ok(inbox_init(&office.inbox, loop, office_receive));
        for (unsigned i = 0; i < ARRAY_SIZE(letters); i++)
                push(&office, &letters[i], i);
        cr_assert_eq(read(loop->inboxes.fd, &n, sizeof(n)), (ssize_t) sizeof(n));
        cr_assert_eq(n, 1); /* written once */
        loop_kit_poke(loop->inboxes.fd);

        kit_ok(loop_run_once(loop));
        cr_assert_eq(office.n_got, ARRAY_SIZE(letters));
        inbox_deinit(&office.inbox);
        loop_free(loop);
}

/* Pushed while the inbox is handed out: in the next turn. */
static void office_echo(Inbox *inbox, InboxItem *item) {
        Office *office = container_of(inbox, Office, inbox);

        office_receive(inbox, item);
        if (office->n_got < 5)
                push(office, container_of(item, Letter, item), office->n_got);
}

LOOP_TEST(inbox, pushed_by_its_callback) {
        Loop *loop = loop_kit_new(kind);
        Office office = {};
        Letter letter;

        kit_ok(inbox_init(&office.inbox, loop, office_echo));
        push(&office, &letter, 0);
        for (unsigned i = 1; i <= 5; i++) {
                while (office.n_got < i)
                        kit_ok(loop_run_once(loop));
                cr_assert_eq(office.n_got, i);
        }
        inbox_deinit(&office.inbox);
        loop_free(loop);
}

static void office_close(Inbox *inbox, InboxItem *item) {
        Office *office = container_of(inbox, Office, inbox);

        office_receive(inbox, item);
        inbox_deinit(office->victim);
}

LOOP_TEST(inbox, removed_by_a_callback) {
        Loop *loop = loop_kit_new(kind);
        Office offices[4] = {};
        Letter letters[2];

        for (size_t i = 0; i < ARRAY_SIZE(offices); i++)
                kit_ok(inbox_init(&offices[i].inbox, loop, i % 2 == 0 ? office_close : office_receive));
        offices[0].victim = &offices[0].inbox; /* itself */
        offices[2].victim = &offices[3].inbox; /* the one behind it */
        push(&offices[0], &letters[0], 0);
        push(&offices[2], &letters[1], 0);
        while (offices[0].n_got + offices[2].n_got < 2)
                kit_ok(loop_run_once(loop));

        inbox_deinit(&offices[1].inbox);
        inbox_deinit(&offices[2].inbox);
        inbox_deinit(&offices[3].inbox); /* again: harmless */
        loop_free(loop);
}

LOOP_TEST(inbox, drained_on_the_way_out) {
        Loop *loop = loop_kit_new(kind);
        Office office = {};
        Letter letters[3];

        kit_ok(inbox_init(&office.inbox, loop, office_receive));
        for (unsigned i = 0; i < ARRAY_SIZE(letters); i++)
                push(&office, &letters[i], i);
        inbox_drain(&office.inbox);
        cr_assert_eq(office.n_got, ARRAY_SIZE(letters));
        inbox_deinit(&office.inbox);
        loop_free(loop);
}

/* The kernel ends the poll of the loop's eventfd: the next push still wakes. */
Test(inbox, wakes_without_multishot) {
        Office office = {};
        Letter letter;
        Loop *loop;

        loop_kit_require(LOOP_URING);
        kit_ok(loop_new_with(&loop, LOOP_URING, &(LoopParams) { .oneshot_every = 1 }));
        kit_ok(inbox_init(&office.inbox, loop, office_receive));
        for (unsigned i = 0; i < 20; i++) {
                push(&office, &letter, i);
                while (office.n_got <= i)
                        kit_ok(loop_run_once(loop));
        }
        loop_kit_settle(loop);
        cr_assert_eq(loop_stats(loop)->n_rearmed, 20); /* not spinning on what was seen */
        inbox_deinit(&office.inbox);
        loop_free(loop);
}
