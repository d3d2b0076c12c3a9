/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One file of the configuration: its lines to assignments */

#include "agent/config.h"

/* What is wrong goes to `errors`, and reading goes on. -errno: it can't be read. */
int config_file_read(Config *config, ConfigErrors *errors, const char *path);
