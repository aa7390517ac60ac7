import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { known } from '../../src/api/errors.ts';
import { ReadModelMissing } from '../../src/projections/engine/catalog.ts';

test('a read model that is still being built asks clients to come again', () => {
  const error = known(new ReadModelMissing('stock is being built: there is nothing to read yet'));
  expect(error).toMatchObject({
    code: status.UNAVAILABLE,
    reason: 'READ_MODEL_BUILDING',
    message: 'stock is being built: there is nothing to read yet',
  });
});
