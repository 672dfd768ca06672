#ifndef MATH_H
#define MATH_H
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
double exp(double x);
double log(double x);
/* Instructions of WebAssembly. */
static inline double sqrt(double x) { return __builtin_sqrt(x); }
static inline float sqrtf(float x) { return __builtin_sqrtf(x); }
static inline double fabs(double x) { return __builtin_fabs(x); }
static inline float fabsf(float x) { return __builtin_fabsf(x); }
static inline double floor(double x) { return __builtin_floor(x); }
static inline double ceil(double x) { return __builtin_ceil(x); }
#endif
