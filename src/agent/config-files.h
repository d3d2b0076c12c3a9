/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which files are read, and in which order */

#include "agent/config.h"

/* The one file of the source, or the first agent.conf of its directories and then their drop-ins, by name. -errno: one
 * can't be read. */
int config_read_files(Config *config, ConfigErrors *errors, const ConfigSource *source);
