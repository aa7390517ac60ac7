import { defineConfig } from 'vitest/config';

const { WATCH_SECONDS = '15', WATCH_SEEDS = `1,${Math.floor(Math.random() * 1e9)}` } = process.env;

// Watches against a model, for longer, and the bugs that it must find.
export default defineConfig({
  test: {
    include: ['test/watches/*.{test,watches}.ts'],
    globalSetup: ['test/support/global-postgres.ts'],
    env: { WATCH_SECONDS, WATCH_SEEDS },
    // They share two cores with the servers and Postgres.
    fileParallelism: false,
    testTimeout: 5 * 60_000,
    hookTimeout: 60_000,
  },
});
