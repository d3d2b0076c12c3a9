/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#ifndef TOOZ_H
#define TOOZ_H

/* libtooz: locks of this host and of the cluster, from tooz-agent(8)
 *
 * Results.  Functions return >= 0, or a negative errno. Beside the errors named at each of them, any that talks to
 * the agent may return -ENOMEM, what connect(2) and the kernel say, and
 *      -ETIMEDOUT   no answer within the call time-out (tooz_client_set_call_timeout());
 *      -ENOTCONN    the agent, or its connection to the cluster, is not there;
 *      -EACCES      the agent's access rules do not let this user do it;
 *      -EINVAL      a bad name, mode, flag or size; tooz_client_get_error() says which.
 * Results go to the pointer given for them, on success only.
 *
 * Time.  Microseconds on CLOCK_BOOTTIME, which goes on while the machine is suspended. Time-outs are relative;
 * UINT64_MAX waits for ever. No function waits for longer than its time-out, or else the call time-out.
 *
 * Threads.  A client, with its claims, may be used by one thread at a time. Different clients are independent.
 *
 * Fork.  In a forked child every function of an object of the parent returns -ECHILD; unreferencing frees memory and
 * closes descriptors there, and releases nothing. As long as such a child lives without unref or exec, it keeps the
 * parent's claims alive, since it has copies of the descriptors (all are close-on-exec).
 *
 * Signals.  Handlers and masks are left alone and SIGPIPE is never raised. No function may be called in a signal
 * handler. A signal handler that ran during a wait makes it return -EINTR; nothing is lost, wait again. */

#include <tooz/tooz-common.h>

TOOZ_BEGIN_DECLS

typedef struct tooz_client tooz_client; /* one connection to the agent, one handle for all of its claims */
typedef struct tooz_claim tooz_claim;   /* one lock, held or waited for */

/*      WAITING --> HELD <--> SUSPENDED
 *         |          |           |
 *         v          +-----+-----+--> LOST
 *       FAILED             +--------> RELEASED           LOST, RELEASED and FAILED are final. */
typedef enum tooz_claim_state {
        TOOZ_CLAIM_WAITING = 0,
        TOOZ_CLAIM_HELD = 1,
        TOOZ_CLAIM_SUSPENDED = 2, /* the cluster is out of reach; ours until the deadline: tooz_claim_check() */
        TOOZ_CLAIM_LOST = 3,      /* no longer ours, whatever we were doing under it must stop */
        TOOZ_CLAIM_RELEASED = 4,
        TOOZ_CLAIM_FAILED = 5,    /* never held: time-out, refused, agent gone */
        _TOOZ_CLAIM_STATE_MAX,
        _TOOZ_CLAIM_STATE_FORCE_INT = 0x7fffffff
} tooz_claim_state;

/* How the last conflicting holder before this one ended. */
typedef enum tooz_previous {
        TOOZ_PREVIOUS_UNKNOWN = 0,
        TOOZ_PREVIOUS_RELEASED = 1,
        TOOZ_PREVIOUS_DIED = 2, /* without releasing: what the lock protects may be half done */
        _TOOZ_PREVIOUS_MAX,
        _TOOZ_PREVIOUS_FORCE_INT = 0x7fffffff
} tooz_previous;

/* --- connection ------------------------------------------------------------------------------------------------ */

/* Connects to the agent. `address`: the path of its socket, or the D-Bus address of the bus on which it is;
 * NULL: $TOOZ_ADDRESS if set, else /run/tooz/agent.sock, else the system bus. `flags` must be 0.
 * A connection that breaks later is made again by the next call that needs it. */
int tooz_client_open(tooz_client **ret, const char *address, uint64_t flags);

tooz_client *tooz_client_ref(tooz_client *c);

/* Returns NULL; accepts NULL. The last one ends every claim: held ones are released, waiting ones fail. Claims still
 * referenced then can only be asked for their state and unreferenced. */
tooz_client *tooz_client_unref(tooz_client *c);
TOOZ_DEFINE_CLEANUP(tooz_client, tooz_client_unref);

/* How long one question to the agent may take; 10 s at first. Not 0. */
int tooz_client_set_call_timeout(tooz_client *c, uint64_t timeout_usec);

/* What others are shown as the reason of this client's claims, at most 255 bytes; NULL: nothing. */
int tooz_client_set_description(tooz_client *c, const char *text);

/* The domain that NULL or "" stands for. Valid until the next call that talks to the agent. */
int tooz_client_get_default_domain(tooz_client *c, const char **ret);

/* The agent's words for the last error that it returned to this client, "" if there was none: who holds the lock,
 * what is wrong with the name. Valid until the next call that talks to the agent. Never NULL. */
const char *tooz_client_get_error(tooz_client *c);

/* A new close-on-exec descriptor of the handle on which all claims of this client hang: while it, or a copy that a
 * child process has inherited, is open, the claims outlive this process. Don't read it. -ENOTCONN without a handle:
 * no claim has been requested yet. The caller closes it. */
int tooz_client_dup_handle(tooz_client *c);

/* --- event loop ------------------------------------------------------------------------------------------------ */

/* One descriptor for everything that may happen to the client and its claims, deadlines included. When it is readable
 * call tooz_client_process() until it returns 0. It stays the same for the life of the client; never read or close
 * it. See tooz-event.h for sd-event. */
int tooz_client_get_fd(tooz_client *c);

/* Events for poll(2): always POLLIN. */
int tooz_client_get_events(tooz_client *c);

/* When tooz_client_process() is next to be called even if the descriptor is silent: on CLOCK_BOOTTIME, UINT64_MAX:
 * never, 0: now. Only for loops that can't poll the descriptor, which becomes readable at that time too. */
int tooz_client_get_timeout(tooz_client *c, uint64_t *ret_boottime_usec);

/* Does one step: takes in what arrived, then calls at most one handler. 1: call again; 0: nothing to do. Never
 * waits. */
int tooz_client_process(tooz_client *c);

/* Waits until there is something to process: 1; 0: time-out; -EINTR. */
int tooz_client_wait(tooz_client *c, uint64_t timeout_usec);

/* --- claims ---------------------------------------------------------------------------------------------------- */

tooz_claim *tooz_claim_ref(tooz_claim *claim);

/* Returns NULL; accepts NULL. The last one releases, or stops waiting, without waiting for the agent. */
tooz_claim *tooz_claim_unref(tooz_claim *claim);
TOOZ_DEFINE_CLEANUP(tooz_claim, tooz_claim_unref);

/* What happened to a claim. Strings and fields are valid during the call. */
struct tooz_event {
        uint64_t size;            /* of this struct: it may grow */
        uint64_t sequence;        /* rises with each event of a claim */
        uint64_t boottime_usec;   /* when it happened */
        uint64_t missed;          /* how many events before this one were dropped: we were too slow */
        uint64_t token;           /* 0: never held */
        const char *name;         /* queued, acquired, converted, convert-failed, contended, suspended, resumed, lost,
                                   * failed, released; more may come */
        const char *reason;       /* of lost, failed and convert-failed, else "" */
        const char *const *fields; /* all of the datagram, NULL-terminated "KEY=VALUE" */
        tooz_claim_state state;   /* the claim's after this event */
};

/* Called from tooz_client_process() only. A negative result is returned from there. It may do anything with the
 * client and its claims, unreferencing them included. */
typedef int (*tooz_claim_handler)(tooz_claim *claim, const struct tooz_event *event, void *userdata);
typedef void (*tooz_destroy_handler)(void *userdata);

/* Events from now on go to `handler`, NULL: to nobody. `destroy` (may be NULL) is called with `userdata` when another
 * handler is set or the claim is freed. An application that does not process falls behind: at most 64 events of a
 * claim are kept, the oldest go first, and the first that is delivered then says how many in `missed`. */
int tooz_claim_set_handler(tooz_claim *claim, tooz_claim_handler handler, void *userdata, tooz_destroy_handler destroy);

/* Waits until the claim is in this state: 0. -ETIMEDOUT; -EINTR; or it ended otherwise, or can't come there any more:
 *      -ETIMEDOUT  its own time-out (tooz_lock_options)         -EAGAIN     TOOZ_NO_QUEUE and it is held by others
 *      -ECANCELED  released by us                               -EIDRM      lock broken (tooz_lock_break())
 *      -EKEYEXPIRED deadline passed, or session over            -ECONNRESET the agent is gone
 *      -ESHUTDOWN  the agent stops                              -EREMOTEIO  the cluster refuses
 *      -EOVERFLOW  the lock's numbers are used up               -ENOTRECOVERABLE  the cluster went back in time
 * tooz_claim_get_state() and _get_reason() tell them apart. Handlers are not called meanwhile; the events are kept
 * for tooz_client_process(). */
TOOZ_WUR int tooz_claim_wait(tooz_claim *claim, tooz_claim_state state, uint64_t timeout_usec);

/* As of the last time that this client processed, waited or checked. */
int tooz_claim_get_state(tooz_claim *claim, tooz_claim_state *ret);

/* Why it is LOST or FAILED: timeout, would-block, canceled, deadlock, deadline, session-expired, broken,
 * agent-stopping, agent-gone, backend-error…; "" in other states. Lives as long as the claim. */
int tooz_claim_get_reason(tooz_claim *claim, const char **ret);

/* The fencing token: unique for this lock, and greater than that of every conflicting holder before. Give it to what
 * the lock protects, and let that refuse smaller ones. -ENODATA: never held. */
int tooz_claim_get_token(tooz_claim *claim, uint64_t *ret);

/* -ENODATA: never held. */
int tooz_claim_get_previous(tooz_claim *claim, tooz_previous *ret);

/* Place in the queue when it was last told, from 1; 0: not waiting. */
int tooz_claim_get_position(tooz_claim *claim, uint32_t *ret);

/* They live as long as the claim. Either pointer may be NULL. */
int tooz_claim_get_name(tooz_claim *claim, const char **ret_domain, const char **ret_name);

int tooz_claim_get_mode(tooz_claim *claim, tooz_lock_mode *ret);

/* The agent's number for this claim, as in `toozctl list`. */
int tooz_claim_get_id(tooz_claim *claim, uint64_t *ret);

/* Until when, on CLOCK_BOOTTIME, the claim is certainly still ours if the agent says nothing more, as its status page
 * has it now. UINT64_MAX in `node`, where contact can't be lost. -ENODATA: not held. */
int tooz_claim_get_deadline(tooz_claim *claim, uint64_t *ret_boottime_usec);

/* The session time-out of the claim's domain, for which the cluster keeps a lock whose holder has vanished; UINT64_MAX
 * in `node`. -ENODATA: never held. */
int tooz_claim_get_session_timeout(tooz_claim *claim, uint64_t *ret_usec);

/* May I go on? 1: held now, and certainly for the next `ret_safe_usec` (may be NULL); 0: not held. Call it before
 * each side effect. No round trip: it takes in what the agent has sent and reads the status page, so it also answers
 * rightly when the agent hangs or is gone. */
int tooz_claim_check(tooz_claim *claim, uint64_t *ret_safe_usec);

/* Ends the claim and waits until the agent has taken it back; then others may get it. 0 also when it had ended
 * already. -ETIMEDOUT: the agent has been told, but does not answer. */
int tooz_claim_release(tooz_claim *claim);

/* The same without waiting: `released`, or `failed` for one that waited, follows. */
int tooz_claim_release_async(tooz_claim *claim);

/* --- locks ----------------------------------------------------------------------------------------------------- */

enum { /* tooz_lock_options.flags */
        TOOZ_NO_QUEUE = 1 << 0,         /* fail with -EAGAIN rather than wait */
        TOOZ_NOTIFY_CONTENTION = 1 << 2 /* while held, tell by `contended` that somebody waits */
};

struct tooz_lock_options {
        uint64_t size; /* of this struct: it may grow */
        uint64_t flags;
        uint64_t timeout_usec;   /* the agent gives up waiting after this; UINT64_MAX: never */
        const char *description; /* NULL: that of the client */
        tooz_lock_mode mode;
};
#define TOOZ_LOCK_OPTIONS_INIT \
        { sizeof(struct tooz_lock_options), 0, TOOZ_USEC_INFINITY, NULL, TOOZ_LOCK_EXCLUSIVE }

/* Asks for a lock and returns at once (after one round trip to the agent) with a claim that waits. `domain` NULL or "":
 * the default one. `options` NULL: exclusive, waiting for ever. -EDQUOT: this user has too many claims. */
TOOZ_WUR int tooz_lock_request(tooz_client *c, tooz_claim **ret, const char *domain, const char *name,
                               const struct tooz_lock_options *options);

/* The same, and waits until the lock is held, for at most options->timeout_usec. Errors as tooz_claim_wait(); there
 * is no claim then, also after -EINTR. */
TOOZ_WUR int tooz_lock(tooz_client *c, tooz_claim **ret, const char *domain, const char *name,
                       const struct tooz_lock_options *options);

/* Changes the mode of a claim that is held. To shared: at once. To exclusive: waits for the other readers to leave;
 * -EDEADLK when one of them wants the same. The claim stays held throughout, in its old mode when this fails; its
 * token changes with its mode. -EHOSTDOWN: not while suspended; -EIDRM: not held. Not ended by signal handlers: what the
 * agent was asked for can't be taken back. */
TOOZ_WUR int tooz_lock_convert(tooz_claim *claim, tooz_lock_mode mode, uint64_t timeout_usec);

enum { /* tooz_lock_break() */
        TOOZ_BREAK_FORCE = 1 << 1 /* don't ask the holder's agent: for holders that have none, or none that answers.
                                   * Such a holder may not learn of it: two may then believe that they hold */
};

/* Takes a lock from its holder, who is told `lost`. `token` must be the one of the present holder, else -ESTALE.
 * -ENOLCK: nobody holds it. -EACCES: not allowed, or the holder is no client of an agent: TOOZ_BREAK_FORCE. */
int tooz_lock_break(tooz_client *c, const char *domain, const char *name, uint64_t token, uint64_t flags);

/* Is this the token of the present holder? 1 or 0; `ret_latest` (may be NULL): the newest that is known, 0: none. For
 * a guard that can't compare tokens by itself. */
int tooz_lock_verify(tooz_client *c, const char *domain, const char *name, uint64_t token, uint64_t *ret_latest);

/* Strings are "" when unknown, and valid during the call. */
struct tooz_owner {
        uint64_t size; /* of this struct: it may grow */
        uint64_t token;
        uint64_t since_realtime_usec; /* held, or waiting, since: CLOCK_REALTIME, for people */
        const char *id;
        const char *host;
        const char *unit;
        const char *command;
        const char *description;
        uint32_t pid;
        uint32_t uid;
        tooz_lock_mode mode;
        int waiting; /* 0: holder, 1: waits */
};
/* 0: go on; another result ends the iteration and is returned. */
typedef int (*tooz_owner_handler)(const struct tooz_owner *owner, void *userdata);

/* Holders of a lock, then waiters in their order. 0 also when nobody is there. */
int tooz_lock_foreach_owner(tooz_client *c, const char *domain, const char *name, tooz_owner_handler handler,
                            void *userdata);

enum { /* tooz_lock_foreach() */
        TOOZ_LIST_LOCAL = 1 << 0 /* only locks with claims on this host */
};

struct tooz_lock_info {
        uint64_t size; /* of this struct: it may grow */
        uint64_t token;
        uint64_t since_realtime_usec;
        const char *domain;
        const char *name;
        const char *holder; /* the first holder, or without one the first waiter, for people */
        uint32_t n_holders;
        uint32_t n_waiters;
        tooz_lock_mode mode;
};
typedef int (*tooz_lock_handler)(const struct tooz_lock_info *lock, void *userdata);

/* Locks of a domain (NULL or "": the default one) that are held or waited for. */
int tooz_lock_foreach(tooz_client *c, const char *domain, uint64_t flags, tooz_lock_handler handler, void *userdata);

TOOZ_END_DECLS
#endif
