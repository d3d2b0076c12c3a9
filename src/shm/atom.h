/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Atomic access to shared memory. Everything is sequentially consistent but for what says otherwise.
 *
 * The exhaustive checker (tests/model) builds these files with TOOZ_SHM_MODEL: it stops before each access, runs
 * another process, or kills this one. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef TOOZ_SHM_MODEL
void model_step(const volatile void *where);
#define atom_step(p) model_step(p)
#else
#define atom_step(p) ((void) 0)
#endif

#define atom_load(p) (atom_step(p), atomic_load(p))
#define atom_load_relaxed(p) (atom_step(p), atomic_load_explicit((p), memory_order_relaxed))
#define atom_store(p, v) (atom_step(p), atomic_store((p), (v)))
#define atom_store_release(p, v) (atom_step(p), atomic_store_explicit((p), (v), memory_order_release))
#define atom_store_relaxed(p, v) (atom_step(p), atomic_store_explicit((p), (v), memory_order_relaxed))
#define atom_swap(p, v) (atom_step(p), atomic_exchange((p), (v)))
#define atom_add(p, v) (atom_step(p), atomic_fetch_add((p), (v)))
#define atom_or(p, v) (atom_step(p), atomic_fetch_or((p), (v)))
#define atom_and(p, v) (atom_step(p), atomic_fetch_and((p), (v)))
/* On failure *old is what was found. */
#define atom_cas(p, old, new) (atom_step(p), atomic_compare_exchange_strong((p), (old), (new)))

static inline void atom_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
}
