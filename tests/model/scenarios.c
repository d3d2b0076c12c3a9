/* SPDX-License-Identifier: Apache-2.0 */
#include "model/scenarios.h"

/* A letter each, see process.c. One may be killed, one clock may run out early, unless it is said otherwise. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
const Scenario scenarios[] = {
        /* Two */
        { "two writers", { "Xr", "Xr" }, .clocks = 2, .kills = 2 },
        { "two writers, slow path", { "Xr", "Xr" }, .clocks = 2, .kills = 2, .slow = true },
        { "writer and reader", { "Xr", "Sr" }, .clocks = 2, .kills = 2 },
        { "writer and reader, slow path", { "Xr", "Sr" }, .clocks = 2, .kills = 2, .slow = true },
        { "writer and reader again", { "Xr", "SrSr" }, .clocks = 2 },
        { "two writers twice", { "XrXr", "XrXr" }, .clocks = 2 },
        { "tries", { "xrsr", "xrsr" } },
        { "a time-out before the head is quiet", { "Xr", "Tr" }, .clocks = 2, .timeout_usec = 100 },
        { "a time-out", { "XrXr", "TrXr" }, .clocks = 2, .timeout_usec = 300 },
        { "a reader's time-out", { "Xr", "trSr" }, .clocks = 2, .timeout_usec = 300 },
        { "a drainer's time-out", { "SrSr", "TrSr" }, .clocks = 2, .timeout_usec = 300 },
        { "two upgrade", { "SUr", "SUr" } },
        { "upgrade and writer", { "SUr", "Xr" }, .clocks = 2 },
        { "upgrade with a time-out", { "SVr", "SrXr" }, .clocks = 2, .timeout_usec = 300 },
        { "upgrade at once", { "SurXr", "SrXr" } },
        { "downgrade", { "XDr", "XDr" }, .clocks = 2 },
        { "down and up", { "XDUr", "Sr" }, .clocks = 2 },
        { "a writer is broken", { "Xr", "BXr" } },
        { "a break comes late", { "XrXr", "BXr" } },
        { "a reader is broken", { "SrSr", "BXr" } },
        { "marked consistent", { "Xr", "XCrXr" } },
        { "died, says another", { "XK", "XCrXr" } },
        { "one entry, two locks", { "Xr/Xr", "Xr/Xr" } },
        { "two locks held", { "X/Xr\\r", "Xr/Xr" }, .entries = 2 },
        /* Three */
        { "three writers", { "Xr", "Xr", "Xr" } },
        { "three writers, slow path", { "Xr", "Xr", "Xr" }, .slow = true },
        { "two writers and a reader", { "Xr", "Xr", "Sr" } },
        { "a writer and two readers", { "Sr", "Xr", "Sr" } },
        { "the one in the middle gives up", { "Xr", "Tr", "Xr" }, .clocks = 2, .timeout_usec = 300 },
        { "a drainer gives up", { "Sr", "Tr", "Sr" }, .clocks = 2, .timeout_usec = 300 },
        { "upgrade before a writer", { "SUr", "Xr", "Sr" } },
        { "two upgrade, one writes", { "SUr", "SUr", "Xr" } },
        { "downgrade, others wait", { "XDr", "Sr", "Xr" } },
        { "broken, others wait", { "Xr", "BXr", "Xr" } },
        { "one entry, two locks, three", { "Xr/Xr", "Xr", "/Xr" } },
        { "two kills", { "Xr", "Xr", "Xr" }, .kills = 2 },
        { "two kills, a reader", { "Sr", "Xr", "Xr" }, .kills = 2 },
        /* Two cases that only the net of hold.c is for: of two who are queued on the word of one who dies, the one that
         * the kernel woke dies too, before it wakes the other. Without the net both of these fail. */
        { "one entry, two kills", { "Xr/Xr", "Xr", "/Xr" }, .kills = 2, .net = true },
        { "two kills, an upgrade", { "SUr", "Sr", "Xr" }, .kills = 2, .net = true },
};
const size_t n_scenarios = ARRAY_SIZE(scenarios);
