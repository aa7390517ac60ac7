import { defineConfig } from 'vitest/config';

// The long run of a server on a cluster that keeps failing.
export default defineConfig({
  test: {
    include: ['test/faults/**/*.faults.ts'],
    fileParallelism: false,
    testTimeout: 30 * 60_000,
    hookTimeout: 60_000,
  },
});
