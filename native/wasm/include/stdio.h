#ifndef STDIO_H
#define STDIO_H
#include <stddef.h>
/* %s, %d, %g, %.0f and %% alone; see libc.c. */
int snprintf(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
#endif
