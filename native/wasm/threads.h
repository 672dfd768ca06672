/*
 * The thread pool of the WebAssembly module, as its host sees it.
 */
#ifndef WASM_THREADS_H
#define WASM_THREADS_H

/* Whether a pool thread failed (trapped) since the last call. */
int sa_thread_failed(void);

#endif
