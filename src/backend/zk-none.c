/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for the `zookeeper` backend in a build without it */

#include <errno.h>

#include "backend/backend.h"

int zk_backend_new(Backend **ret, Loop *loop, Realm *realm, Domain *domain, const ZkConfig *config) {
        return -EOPNOTSUPP;
}
