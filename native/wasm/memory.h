/*
 * Memory of the WebAssembly module: blocks out of the linear memory behind the program's data, which grows as needed.
 */
#ifndef WASM_MEMORY_H
#define WASM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* A block of at least `bytes` at a multiple of 64, content arbitrary; NULL when memory is short. */
void *sa_take(uint64_t bytes);

/* Gives a block of sa_take back. NULL is allowed. */
void sa_give(void *block);

#endif
