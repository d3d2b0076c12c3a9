/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "model/model.h"

extern const Scenario scenarios[];
extern const size_t n_scenarios;
