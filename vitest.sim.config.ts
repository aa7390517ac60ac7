import { defineConfig } from 'vitest/config';

// The engine on simulated machines, many seeds of it.
export default defineConfig({
  test: {
    include: ['test/sim/**/*.sim.ts'],
    maxWorkers: 2,
    testTimeout: 30 * 60_000,
  },
});
