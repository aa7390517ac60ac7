import { expect, test } from 'vitest';
import { EventStoreUnavailable, LogDamaged } from '../../src/eventstore/port.ts';
import { isPermanent } from '../../src/projections/engine/errors.ts';

test('a damaged log stops a projection for good, a store that is away does not', () => {
  expect(isPermanent(new LogDamaged('a hole'))).toBe(true);
  expect(isPermanent(new EventStoreUnavailable('away'))).toBe(false);
});
