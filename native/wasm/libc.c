/*
 * The few functions of the C library that the engine needs, for a module that has none: blocks of memory (the compiler
 * makes calls of struct assignments, too), the texts of error messages, exp and log.
 */
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* --- memory. With -mbulk-memory the builtins are single instructions. ---------------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) { return __builtin_memcpy(to, from, bytes); }
void *memmove(void *to, const void *from, size_t bytes) { return __builtin_memmove(to, from, bytes); }
void *memset(void *to, int byte, size_t bytes) { return __builtin_memset(to, byte, bytes); }

int memcmp(const void *a, const void *b, size_t bytes) {
  const unsigned char *x = a, *y = b;
  for (; bytes > 0; bytes--, x++, y++)
    if (*x != *y) return *x < *y ? -1 : 1;
  return 0;
}

size_t strlen(const char *text) {
  const char *end = text;
  while (*end) end++;
  return (size_t)(end - text);
}

int strcmp(const char *a, const char *b) {
  for (; *a && *a == *b; a++, b++) {}
  return (unsigned char)*a - (unsigned char)*b;
}

/* --- text ---------------------------------------------------------------------------------------------------- */

typedef struct {
  char *to;
  size_t left; /* room for characters, not counting the final zero */
} writer;

static void put(writer *w, char c) {
  if (w->left == 0) return;
  *w->to++ = c;
  w->left--;
}

static void put_text(writer *w, const char *text) {
  while (*text) put(w, *text++);
}

/* A whole number below 2^63, with at least `digits` digits. */
static void put_whole(writer *w, uint64_t value, int digits) {
  char reversed[20];
  int count = 0;
  for (; value > 0 || count < digits; value /= 10) reversed[count++] = (char)('0' + value % 10);
  while (count > 0) put(w, reversed[--count]);
}

static double power_of_ten(int exponent) {
  double power = 1;
  for (; exponent > 0; exponent--) power *= 10;
  return power;
}

/* What %g prints: six significant digits without zeros at the end, with an exponent where that is shorter. */
static void put_general(writer *w, double value) {
  enum { DIGITS = 6 };
  if (value == 0) {
    put(w, '0');
    return;
  }
  int exponent = 0;
  while (value >= power_of_ten(exponent + 1)) exponent++;
  while (exponent > -400 && value * power_of_ten(-exponent) < 1) exponent--;
  const double scaled = exponent < DIGITS ? value * power_of_ten(DIGITS - 1 - exponent)
                                          : value / power_of_ten(exponent - DIGITS + 1);
  uint64_t digits = (uint64_t)(scaled + 0.5);
  if (digits >= 1000000) {
    digits /= 10;
    exponent++;
  }
  const int scientific = exponent < -4 || exponent >= DIGITS;
  int whole = scientific ? 1 : exponent + 1; /* digits before the point; zero or less for 0.0... */
  int count = DIGITS;
  for (; count > 1 && count > whole && digits % 10 == 0; count--) digits /= 10;
  if (whole <= 0) {
    put_text(w, "0.");
    for (; whole < 0; whole++) put(w, '0');
    put_whole(w, digits, count);
  } else {
    uint64_t below = 1;
    for (int i = whole; i < count; i++) below *= 10;
    put_whole(w, digits / below, 1);
    if (count > whole) {
      put(w, '.');
      put_whole(w, digits % below, count - whole);
    }
  }
  if (!scientific) return;
  put_text(w, exponent < 0 ? "e-" : "e+");
  put_whole(w, (uint64_t)(exponent < 0 ? -exponent : exponent), 2);
}

static void put_number(writer *w, double value, int general) {
  if (value != value) {
    put_text(w, "nan");
    return;
  }
  if (value < 0) put(w, '-');
  value = value < 0 ? -value : value;
  if (value > 1.7976931348623157e308)
    put_text(w, "inf");
  else if (general || value >= 9e18)
    put_general(w, value);
  else
    put_whole(w, (uint64_t)(value + 0.5), 1);
}

int snprintf(char *to, size_t size, const char *format, ...) {
  if (size == 0) return 0;
  writer w = {to, size - 1};
  va_list arguments;
  va_start(arguments, format);
  for (const char *at = format; *at; at++) {
    if (*at != '%') {
      put(&w, *at);
      continue;
    }
    switch (*++at) {
      case 's': put_text(&w, va_arg(arguments, const char *)); break;
      case 'd': put_number(&w, va_arg(arguments, int), 0); break;
      case 'g': put_number(&w, va_arg(arguments, double), 1); break;
      case '%': put(&w, '%'); break;
      case '.':
        if (at[1] == '0' && at[2] == 'f') {
          put_number(&w, va_arg(arguments, double), 0);
          at += 2;
          break;
        }
        __attribute__((fallthrough));
      default: __builtin_trap(); /* a conversion that nothing here knows: teach it, or use another */
    }
  }
  va_end(arguments);
  *w.to = 0;
  return (int)(w.to - to);
}

/* --- mathematics --------------------------------------------------------------------------------------------- */

static double from_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint64_t to_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* ln 2 in two parts; the first has 20 zero bits at its end, so that multiples of it are exact. */
static const double LN2_HIGH = 0x1.62e42fefp-1, LN2_LOW = 0x1.473de6af278edp-34;

static const double inverse_factorial[] = {
    1,
    1,
    1.0 / 2,
    1.0 / 6,
    1.0 / 24,
    1.0 / 120,
    1.0 / 720,
    1.0 / 5040,
    1.0 / 40320,
    1.0 / 362880,
    1.0 / 3628800,
    1.0 / 39916800,
    1.0 / 479001600,
    1.0 / 6227020800,
    1.0 / 87178291200,
};

/* e^x = 2^k e^r with |r| <= ln 2 / 2, where fourteen terms of the power series leave an error below 2^-55. */
double exp(double x) {
  if (x != x) return x;
  if (x > 709.79) return __builtin_inf();
  if (x < -745.14) return 0;
  const double k = __builtin_floor(x * 0x1.71547652b82fep0 + 0.5);
  const double r = (x - k * LN2_HIGH) - k * LN2_LOW;
  double sum = 0;
  for (int n = 14; n >= 0; n--) sum = sum * r + inverse_factorial[n];
  const int exponent = (int)k, half = exponent / 2; /* in two steps, as 2^k itself may lie outside the range */
  return sum * from_bits((uint64_t)(1023 + half) << 52) * from_bits((uint64_t)(1023 + exponent - half) << 52);
}

/* ln x = k ln 2 + 2 artanh(s), s = (m - 1) / (m + 1), with m in [sqrt(1/2), sqrt(2)): s^2 < 0.03, and eleven terms of the
 * odd series are enough. */
double log(double x) {
  if (x != x || x < 0) return __builtin_nan("");
  if (x == 0) return -__builtin_inf();
  if (x > 1.7976931348623157e308) return x;
  int exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    exponent = -54;
  }
  const uint64_t bits = to_bits(x);
  exponent += (int)(bits >> 52) - 1023;
  double m = from_bits((bits & UINT64_C(0xfffffffffffff)) | UINT64_C(0x3ff0000000000000));
  if (m > 1.4142135623730951) {
    m /= 2;
    exponent++;
  }
  const double f = m - 1, s = f / (2 + f), z = s * s;
  double sum = 0;
  for (int n = 23; n > 1; n -= 2) sum = (sum + 1.0 / n) * z;
  /* 2 s + 2 s sum, with 2 s = f - s f exactly enough */
  return exponent * LN2_HIGH + (f - (s * f - (2 * s * sum + exponent * LN2_LOW)));
}
