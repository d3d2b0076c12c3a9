/* SPDX-License-Identifier: Apache-2.0 */
/* URL of a cluster domain
 *
 * What comes out is the connect string of the ZooKeeper client, except for the chroot: the backend needs it apart,
 * because the client library prepends it to our paths but not to those in error texts. */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config-url.h"
#include "base/macro.h"
#include "base/str.h"

#define URL_SCHEME "zookeeper://"
#define URL_EXAMPLE "zookeeper://zk1:2181,zk2:2181,zk3:2181/"
#define URL_PORT_DEFAULT 2181u
#define URL_HOST_MAX 255

static int _printf_(2, 3) url_wrong(ConfigUrl *url, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        (void) vsnprintf(url->why, sizeof(url->why), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

static bool host_is_valid(const char *s, size_t len) {
        if (len == 0 || len > URL_HOST_MAX)
                return false;
        if (s[0] == '[') {
                if (len < 4 || s[len - 1] != ']')
                        return false;
                for (size_t i = 1; i < len - 1; i++)
                        if (!isxdigit((unsigned char) s[i]) && s[i] != ':' && s[i] != '.')
                                return false;
                return true;
        }
        for (size_t i = 0; i < len; i++)
                if (!isalnum((unsigned char) s[i]) && s[i] != '.' && s[i] != '-' && s[i] != '_')
                        return false;
        return true;
}

/* Where the port starts, behind its colon; NULL: none is given. */
static const char *host_port(const char *server) {
        const char *host_end = server[0] == '[' ? strchr(server, ']') : server;
        const char *colon = host_end ? strchr(host_end, ':') : NULL;

        return colon ? colon + 1 : NULL;
}

static int url_add_server(ConfigUrl *url, char *server) {
        const char *port_text = host_port(server);
        unsigned port = URL_PORT_DEFAULT;
        size_t host_len = port_text ? (size_t) (port_text - server) - 1 : strlen(server);
        char *joined;

        if (!host_is_valid(server, host_len))
                return url_wrong(url, "\"%.100s\" is not a server: write host:port, and commas between several", server);
        if (port_text && (str_parse_uint(port_text, &port) < 0 || port == 0 || port > 65535))
                return url_wrong(url, "\"%.100s\" has no valid port: a number from 1 to 65535 stands there", server);

        joined = str_format("%s%s%.*s:%u", url->servers ?: "", url->servers ? "," : "", (int) host_len, server, port);
        if (!joined)
                return -ENOMEM;
        free(url->servers);
        url->servers = joined;
        return 0;
}

/* Continued lines leave blanks between the servers. */
static char *trim(char *s) {
        char *end;

        s += strspn(s, " \t");
        end = s + strlen(s);
        while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
                *--end = 0;
        return s;
}

static int url_parse_servers(ConfigUrl *url, char *text) {
        unsigned n = 0;
        char *server;
        int r;

        if (strchr(text, '@'))
                return url_wrong(url, "has no place for a user: give Auth= in the [Domain] section, or the credential "
                                      "zookeeper.auth");
        while ((server = strsep(&text, ","))) {
                if (++n > CONFIG_URL_SERVERS_MAX)
                        return url_wrong(url, "has more than 32 servers");
                r = url_add_server(url, trim(server));
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool chroot_is_valid(const char *path) {
        if (strstr(path, "//") || strstr(path, "/./") || strstr(path, "/../") || str_ends_with(path, "/.") ||
            str_ends_with(path, "/..") || streq(path, "/zookeeper") || str_skip_prefix(path, "/zookeeper/"))
                return false;
        return str_is_printable_ascii(path, strlen(path)) && !strpbrk(path, " ,?#");
}

static int url_parse_chroot(ConfigUrl *url, const char *path) {
        size_t len = strlen(path);

        if (len > 0 && path[len - 1] == '/')
                len--;
        if (strchr(path, '?') || strchr(path, '#'))
                return url_wrong(url, "takes no options behind '?': they are keys of the [Domain] section");
        if (!chroot_is_valid(path))
                return url_wrong(url, "\"%.100s\" is not a path in ZooKeeper: write /name/name in printable ASCII, or /", path);
        return strndup_to(&url->chroot, path, len);
}

int config_url_parse(ConfigUrl *url, const char *text) {
        _cleanup_free_ char *servers = NULL;
        const char *rest, *slash;
        int r;

        *url = (ConfigUrl) {};
        rest = str_skip_prefix(text, URL_SCHEME);
        if (!rest)
                return url_wrong(url, "\"%.100s\" is not a URL that is known: " URL_EXAMPLE " would be", text);

        slash = strchr(rest, '/');
        r = strndup_to(&servers, rest, slash ? (size_t) (slash - rest) : strlen(rest));
        if (r < 0)
                return r;

        r = url_parse_servers(url, servers);
        if (r < 0)
                return r;
        return url_parse_chroot(url, slash ?: "");
}

void config_url_done(ConfigUrl *url) {
        free(url->servers);
        free(url->chroot);
        *url = (ConfigUrl) {};
}
