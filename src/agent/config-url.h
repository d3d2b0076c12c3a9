/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* URL of a cluster domain: zookeeper://host:port,host:port/chroot */

#define CONFIG_URL_SERVERS_MAX 32

typedef struct ConfigUrl {
        char *servers; /* each with its port */
        char *chroot;  /* "/…" or "" */
        char why[256]; /* on -EINVAL: what is wrong, and what would be right */
} ConfigUrl;

/* 0, -EINVAL, -ENOMEM. */
int config_url_parse(ConfigUrl *url, const char *text);
void config_url_done(ConfigUrl *url);
