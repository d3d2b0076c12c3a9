/* SPDX-License-Identifier: Apache-2.0 */
/* Carries out what the core wants
 *
 * Called once in each turn, in the deferred phase, after all completions and timers: what several transitions of the
 * turn wanted of one object is one effect by then. No call below makes a transition of the core: backends report in
 * later phases, or when they are asked between two sweeps; the bus only sends. What a call does leave on the queue is
 * carried out in the same sweep.
 *
 * Order: the status pages first. A holder that reads `acquired EPOCH=e` on its handle must find a page that knows the
 * epoch, and a page must say "overdue" no later than the handle says `lost`. */

#include "agent/apply.h"
#include "agent/domains.h"
#include "agent/news.h"
#include "base/assert.h"

static void apply_page(Agent *agent, AgentDomain *ad) {
        Session *session = &ad->domain->session;

        if (!(session->want & SESSION_WANT_PUBLISH))
                return;
        session->want &= ~(unsigned) SESSION_WANT_PUBLISH;
        page_publish(&ad->page, session, loop_now(agent->loop));
        if (agent->state != AGENT_STOPPING)
                news_of_session(ad);
        bus_server_tell_domain(agent->bus, ad->domain);
}

static void apply_pages(Agent *agent) {
        AgentDomain *ad;

        list_foreach(ad, &agent->domains, AgentDomain, link)
                if (ad->domain->kind != DOMAIN_NODE)
                        apply_page(agent, ad);
}

static Backend *backend_of(const Agent *agent, const Domain *domain) {
        return domains_find(agent, domain)->backend;
}

static Backend *backend_of_lock(const Agent *agent, const Lock *lock) {
        return backend_of(agent, container_of(lock->table, Domain, locks));
}

static void apply_claim(Agent *agent, Claim *claim) {
        news_of_claim(claim, loop_now(agent->loop));
        bus_server_tell_claim(agent->bus, claim);
}

static void apply_node(Agent *agent, Node *node) {
        Backend *b = backend_of_lock(agent, node->lock);

        b->ops->node(b, node);
}

static void apply_lock(Agent *agent, Lock *lock) {
        Backend *b = backend_of_lock(agent, lock);

        b->ops->lock(b, lock);
}

static void apply_place(Agent *agent, Place *place) {
        Backend *b = backend_of_lock(agent, place->lock);

        b->ops->place(b, place);
}

static void apply_session(Agent *agent, Session *session) {
        Backend *b = backend_of(agent, container_of(session, Domain, session));

        if (session->want)
                b->ops->session(b, session);
}

static void apply_query(Agent *agent, Query *q) {
        Backend *b = backend_of(agent, q->domain);

        b->ops->query(b, q);
}

static void apply_effect(Agent *agent, Effect *effect) {
        switch (effect->kind) {
        case EFFECT_CLAIM:
                return apply_claim(agent, container_of(effect, Claim, effect));
        case EFFECT_NODE:
                return apply_node(agent, container_of(effect, Node, effect));
        case EFFECT_PLACE:
                return apply_place(agent, container_of(effect, Place, effect));
        case EFFECT_LOCK:
                return apply_lock(agent, container_of(effect, Lock, effect));
        case EFFECT_SESSION:
                return apply_session(agent, container_of(effect, Session, effect));
        case EFFECT_QUERY:
                return apply_query(agent, container_of(effect, Query, effect));
        case EFFECT_QUERY_DONE:
                return bus_server_tell_query(agent->bus, container_of(effect, Query, effect));
        case _EFFECT_KIND_MAX:
                break;
        }
        assert_not_reached();
}

static bool apply_sweep(Agent *agent) {
        bool any = false;
        Effect *effect;

        while ((effect = effects_pop(&agent->realm.effects))) {
                apply_effect(agent, effect);
                any = true;
        }
        return any;
}

static bool apply_reports(Agent *agent) {
        bool any = false;
        AgentDomain *ad;

        list_foreach(ad, &agent->domains, AgentDomain, link)
                if (ad->backend->ops->report)
                        any |= ad->backend->ops->report(ad->backend);
        return any;
}

bool apply_effects(Agent *agent) {
        bool any;

        apply_pages(agent);
        any = apply_sweep(agent);
        while (apply_reports(agent))
                any |= apply_sweep(agent);
        return any;
}
