import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'clients/*/test/**/*.test.ts'],
    // Run by `npm run test:e2e`.
    exclude: ['test/e2e/**'],
    globalSetup: ['test/support/global-postgres.ts'],
    // Two cores are shared with Postgres and the servers that tests start.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
