import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    setupFiles: ['./src/tensor/choose-device.ts'],
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    // No test may lean on, or leave behind, what another run computed.
    env: { SHIFTADDNAS_CACHE: 'off' },
    reporters: ['default', './scripts/summary-reporter.mjs'],
  },
});
