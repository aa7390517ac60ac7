import { defineConfig } from 'vitest/config';

const { CRASH_SECONDS = '120', CRASH_ROUNDS = '10' } = process.env;

// Real servers on a real Postgres, killed, frozen and cut off. `--mode soak` is the same for longer.
export default defineConfig(({ mode }) => ({
  test: {
    include: ['test/crash/**/*.crash.ts'],
    fileParallelism: false,
    env: mode === 'soak' ? { CRASH_SECONDS, CRASH_ROUNDS } : {},
    testTimeout: 5 * 60_000,
    hookTimeout: 60_000,
  },
}));
