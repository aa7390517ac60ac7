import { defineConfig } from 'vitest/config';

// The slow proofs on real data; they need ../shared and leave themselves out without it.
export default defineConfig({
  test: {
    include: ['test/golden/**/*.golden.ts'],
    fileParallelism: false,
    testTimeout: 20 * 60_000,
    hookTimeout: 60_000,
  },
});
