/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* News that an administrator wants to find in the journal */

#include "agent/agent.h"

/* To be called while the claim's news are not taken yet. */
void news_of_claim(const Claim *claim, uint64_t now);
void news_of_session(AgentDomain *ad);
