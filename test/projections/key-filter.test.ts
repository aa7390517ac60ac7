import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyFilter } from '../../src/projections/engine/key-filter.ts';

test('has every key that was added', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (texts) => {
      const filter = new KeyFilter();
      for (const text of texts) filter.add(text);
      for (const text of texts) expect(filter.mayHave(text)).toBe(true);
    }),
    { numRuns: 30 },
  );
});

test('has few keys that were not added, however much alike they are', () => {
  const filter = new KeyFilter();
  const added = 1_000_000;
  expect(filter.mayHave('["member-0"]')).toBe(false);
  for (let n = 0; n < added; n++) filter.add(`["member-${n}"]`);
  let wrong = 0;
  for (let n = added; n < 2 * added; n++) if (filter.mayHave(`["member-${n}"]`)) wrong++;
  expect(wrong).toBeLessThan(added / 10_000);
});
