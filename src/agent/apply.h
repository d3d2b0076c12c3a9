/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Carries out what the core wants */

#include "agent/agent.h"

/* Everything that is on the realm's queue. False: it was empty. */
bool apply_effects(Agent *agent);
