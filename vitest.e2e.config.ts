import { defineConfig } from 'vitest/config';

// Real processes, from the build: slower than the rest.
export default defineConfig({
  test: {
    include: ['test/e2e/**/*.test.ts'],
    globalSetup: ['test/support/global-postgres.ts'],
    // Two cores are shared with Postgres and the servers that tests start.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
