/*
 * What this core can do at best: the three inner steps on registers alone, twelve independent chains.
 */

enum { PROBE_CHAINS = 12 };

/* A value that no compiler can take for the one before. To V8 an empty asm is nothing, so there it is loaded, by units
 * that the arithmetic does not use. */
#if defined(SA_WASM)
static volatile V probe_value = {0.25f, 0.25f, 0.25f, 0.25f};
#define RENEW(v) ((v) = probe_value)
#else
#define RENEW(v) ((v) = v_opaque(v))
#endif

INLINE double probe_body(const int step, long rounds) {
  V acc[PROBE_CHAINS];
  V a = v_opaque(v_set(0.25f)), one = v_opaque(v_set(1.0f)), b = v_opaque(v_set(0.5f));
  const step_constants with = {one, v_zero()};
  UNROLL
  for (int i = 0; i < PROBE_CHAINS; i++) acc[i] = v_zero();
  for (long r = 0; r < rounds; r++) {
    UNROLL
    for (int i = 0; i < PROBE_CHAINS; i++) {
      RENEW(b);
      acc[i] = inner_step(step, acc[i], a, b, one, with);
    }
  }
  V sum = acc[0];
  UNROLL
  for (int i = 1; i < PROBE_CHAINS; i++) sum += acc[i];
  static volatile float sink;
  sink = sum[0];
  (void)sink;
  return (double)rounds * PROBE_CHAINS * WIDTH;
}

static double probe(int kind, long rounds) {
  if (kind == STEP_MULTIPLY) return probe_body(STEP_MULTIPLY, rounds);
  if (kind == STEP_DISTANCE) return probe_body(STEP_DISTANCE, rounds);
  return probe_body(STEP_CLAMP, rounds);
}
