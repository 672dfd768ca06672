/*
 * The thread pool and scratch memory behind the services of shiftadd.h, for one process.
 */
#ifndef POOL_H
#define POOL_H

/* Holds the engine for one op; ops called from several JavaScript threads take turns. */
void sa_engine_enter(void);
void sa_engine_leave(void);

/* Threads that take part in an op, the caller included. Takes effect with the next op. */
void sa_set_threads(int threads);
int sa_threads(void);
/* Processors this process may run on. */
int sa_available_processors(void);

#endif
