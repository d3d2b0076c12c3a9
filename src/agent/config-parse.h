/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Parsers of values: each says what is wrong and what would be right */

#include "agent/config-keys.h"

/* Adds "origin:line: [Section] Key=: text" to the errors; returns -EINVAL. */
int config_complain(const ConfigAssignment *a, const char *fmt, ...) _printf_(2, 3);
/* Adds a line as it is; returns -EINVAL. */
int config_errors_add(ConfigErrors *errors, const char *fmt, ...) _printf_(2, 3);

/* "[Section label] ", or "" before any section. */
#define CONFIG_HEADER_SIZE 256
void config_print_header(char buf[static CONFIG_HEADER_SIZE], ConfigSection section, const char *label);

/* char * */
int config_parse_node_name(const ConfigAssignment *a, void *field);
int config_parse_bus_address(const ConfigAssignment *a, void *field);
int config_parse_socket(const ConfigAssignment *a, void *field);
int config_parse_arena(const ConfigAssignment *a, void *field);
int config_parse_directory(const ConfigAssignment *a, void *field);
int config_parse_namespace(const ConfigAssignment *a, void *field);
int config_parse_domain_ref(const ConfigAssignment *a, void *field);
int config_parse_glob(const ConfigAssignment *a, void *field);
/* unsigned */
int config_parse_mode(const ConfigAssignment *a, void *field);
int config_parse_limit(const ConfigAssignment *a, void *field);
/* enums */
int config_parse_log_level(const ConfigAssignment *a, void *field);
int config_parse_loop(const ConfigAssignment *a, void *field);
/* uint64_t */
int config_parse_timeout(const ConfigAssignment *a, void *field);
/* ConfigDomain: several fields */
int config_parse_url(const ConfigAssignment *a, void *field);
int config_parse_top_url(const ConfigAssignment *a, void *field);
int config_parse_auth(const ConfigAssignment *a, void *field);
int config_parse_acl(const ConfigAssignment *a, void *field);
int config_parse_tls(const ConfigAssignment *a, void *field);
int config_parse_sasl(const ConfigAssignment *a, void *field);
/* ConfigAccess: several fields */
int config_parse_user(const ConfigAssignment *a, void *field);
int config_parse_group(const ConfigAssignment *a, void *field);
int config_parse_allow(const ConfigAssignment *a, void *field);

/* "digest:user:password" into scheme and secret. 0, -EINVAL, -ENOMEM; never quotes it. */
int config_split_auth(const char *text, char **ret_scheme, char **ret_auth);
