/* SPDX-License-Identifier: Apache-2.0 */
/* Coroutines by hand: all that is kept of one is its stack from the stack pointer on, so it can be copied. */

#include "model/model.h"

#if defined(__x86_64__)
const bool coroutine_works = true;

__asm__(".text\n"
        ".globl coroutine_switch\n"
        ".type coroutine_switch, @function\n"
        "coroutine_switch:\n"
        "        pushq %rbp\n        pushq %rbx\n        pushq %r12\n"
        "        pushq %r13\n        pushq %r14\n        pushq %r15\n"
        "        movq %rsp, (%rdi)\n"
        "        movq %rsi, %rsp\n"
        "        popq %r15\n        popq %r14\n        popq %r13\n"
        "        popq %r12\n        popq %rbx\n        popq %rbp\n"
        "        ret\n"
        ".size coroutine_switch, .-coroutine_switch\n");

void *coroutine_new(char *stack, size_t size, void (*entry)(void)) {
        uint64_t *sp = (uint64_t *) (void *) (stack + size);

        *--sp = 0; /* where `entry` would return to: at its start the stack is 8 off a multiple of 16 */
        *--sp = (uint64_t) (uintptr_t) entry;
        for (unsigned i = 0; i < 6; i++)
                *--sp = 0;
        return sp;
}

#elif defined(__aarch64__)
const bool coroutine_works = true;

__asm__(".text\n"
        ".globl coroutine_switch\n"
        ".type coroutine_switch, %function\n"
        "coroutine_switch:\n"
        "        sub sp, sp, #160\n"
        "        stp x19, x20, [sp, #0]\n        stp x21, x22, [sp, #16]\n        stp x23, x24, [sp, #32]\n"
        "        stp x25, x26, [sp, #48]\n        stp x27, x28, [sp, #64]\n        stp x29, x30, [sp, #80]\n"
        "        stp d8, d9, [sp, #96]\n        stp d10, d11, [sp, #112]\n"
        "        stp d12, d13, [sp, #128]\n        stp d14, d15, [sp, #144]\n"
        "        mov x9, sp\n        str x9, [x0]\n        mov sp, x1\n"
        "        ldp x19, x20, [sp, #0]\n        ldp x21, x22, [sp, #16]\n        ldp x23, x24, [sp, #32]\n"
        "        ldp x25, x26, [sp, #48]\n        ldp x27, x28, [sp, #64]\n        ldp x29, x30, [sp, #80]\n"
        "        ldp d8, d9, [sp, #96]\n        ldp d10, d11, [sp, #112]\n"
        "        ldp d12, d13, [sp, #128]\n        ldp d14, d15, [sp, #144]\n"
        "        add sp, sp, #160\n"
        "        ret\n"
        ".size coroutine_switch, .-coroutine_switch\n");

void *coroutine_new(char *stack, size_t size, void (*entry)(void)) {
        uint64_t *sp = (uint64_t *) (void *) (stack + size) - 20;

        memset(sp, 0, 160);
        sp[11] = (uint64_t) (uintptr_t) entry;
        return sp;
}

#else
const bool coroutine_works = false;

void coroutine_switch(void **from, void *to) {
        (void) from, (void) to;
        abort();
}

void *coroutine_new(char *stack, size_t size, void (*entry)(void)) {
        (void) stack, (void) size, (void) entry;
        return NULL;
}
#endif
