/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A world: hosts over one ensemble, their clients, what goes wrong, and the promises that hold nevertheless
 *
 * Clients ask, hold, convert, release, die; faults come and go. From time to time there is calm: everything is
 * repaired, nobody asks any more, and within a bound every claim must have ended and nothing be left in the ensemble.
 *
 * The promises of DESIGN section 3 that are checked, after every step:
 *   1  no two valid claims conflict, where one is valid from its grant to its release, its loss, or the deadline that
 *      its host last published, whichever is first, also while that host is stopped;
 *   2  tokens are unique for a name and rise over conflicting grants, for ever;
 *   3  a running host tells of suspension and, by the deadline, of loss;
 *   4  without faults, a death is told to the next holder;
 *   5  a host serves its own in order of arrival;
 *   6  each claim ends once, and in calm each ends;
 *   8  in calm, nothing is left behind. */

#include "sim/host.h"

#define WORLD_HOSTS 3
#define WORLD_NAMES 3
#define WORLD_CLIENTS 5 /* of each host */

typedef struct Client Client;

/* A claim, as its client knows it. */
typedef struct WorldClaim {
        Claim claim;
        Client *client;
        unsigned name;
        uint64_t arrival;
        LockMode mode; /* as told */
        uint64_t token;
        bool held;     /* as told: acquired and not ended */
        bool let_go;   /* the client released it, or is dead, and counts on nothing any more */
        bool died;
        bool ended;
} WorldClaim;

struct Client {
        Host *host;
        unsigned id;
        SimEvent act;
        WorldClaim *claim; /* NULL: thinks */
        bool converting;
};

typedef struct TokenSeen {
        UT_hash_handle hh;
        uint64_t token;
} TokenSeen;

/* What is remembered of a name for ever. */
typedef struct NameState {
        uint64_t token_any, token_exclusive;
        TokenSeen *tokens;
        bool last_died; /* the last holder did not release */
} NameState;

typedef struct WorldConfig {
        unsigned n_hosts;
        unsigned n_names;
        unsigned n_clients;
        uint64_t think_usec;
        uint64_t hold_usec;
        uint64_t fault_usec; /* between faults; 0: none */
        uint64_t calm_steps; /* from calm to calm */
        unsigned shared_percent;
} WorldConfig;

typedef struct WorldStats {
        uint64_t n_grants, n_shared, n_upgrades, n_deadlocks, n_suspended, n_resumed, n_deadline, n_expired, n_broken, n_failed,
                n_died, n_told_died, n_faults, n_calms, n_kills, digest;
} WorldStats;

struct World {
        Sim sim;
        Model model;
        WorldConfig config;
        WorldStats stats;
        Host hosts[WORLD_HOSTS];
        Client clients[WORLD_HOSTS][WORLD_CLIENTS];
        NameState names[WORLD_NAMES];
        SimEvent fault;
        SimEvent repair;
        SimEvent strand; /* of this host: */
        Host *stranded;
        uint64_t n_arrivals;
        bool calm;
};

/* Runs `n_steps` steps from a seed. Aborts, with trace and seed, when a promise is broken. `faults`: things go wrong. */
void world_run(uint64_t seed, uint64_t n_steps, bool faults, bool verbose, WorldStats *ret);

const char *world_name(unsigned name);
/* What a host tells a client. */
void world_tell(World *w, Host *h, Claim *claim, unsigned news);
/* The promises that hold at every moment. */
void world_check(World *w);
/* Nothing is left. */
void world_check_calm(World *w);
void world_check_grant(World *w, WorldClaim *c);

/* load.c */
void client_init(Client *c, Host *h, unsigned id);
void client_told(Client *c, unsigned news);
void client_orphan(Client *c); /* its agent was killed */
void client_deinit(Client *c);

/* faults.c */
void faults_init(World *w);
void faults_stop(World *w);
void faults_start(World *w);
