import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { violationsIn } from './rules.ts';

const src = join(import.meta.dirname, '../../src');

describe('the architecture', () => {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );

  test('nobody imports upwards, or uses the clock, chance or environment away from the edge', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(files.flatMap((file) => violationsIn(file, readFileSync(join(src, file), 'utf8')))).toEqual([]);
  });

  test.each([
    ['domain/order/decide.ts', `import { Pool } from 'pg';`],
    ['domain/order/decide.ts', `import { createHash } from 'node:crypto';`],
    ['domain/order/decide.ts', `import type { EventStore } from '../../eventstore/port.ts';`],
    ['domain/order/decide.ts', `const now = Date.now();`],
    ['eventstore/postgres/x.ts', `import {\n  encodeEvent,\n} from '../../domain/codec.ts';`],
    ['eventstore/postgres/x.ts', `import { EventStoreDBClient } from '@eventstore/db-client';`],
    ['application/x.ts', `export { reader } from '../projections/engine/reader.ts';`],
    ['application/x.ts', `import { injectable } from 'inversify';`],
    ['projections/x.ts', `import type { CommandBus } from '../application/commands.ts';`],
    ['projections/engine/x.ts', `import pg from 'pg';`],
    ['projections/stock/x.ts', `import type { Pool } from 'pg';`],
    ['projections/engine/x.ts', `import { ddl } from '../postgres/table-sql.ts';`],
    ['projections/index.ts', `export { readModelReader } from './postgres/reader.ts';`],
    ['api/x.ts', `const { start } = await import('../main/instance.ts');`],
    ['api/x.ts', `const id = Math.random();`],
    ['operations/x.ts', `import { startApiServer } from '../api/server.ts';`],
    ['helpers/x.ts', `export const x = 1;`],
    ['api/x.ts', `const y = x as unknown as string;`],
  ])('a planted violation in %s is found: %s', (file, source) => {
    expect(violationsIn(file, source)).toHaveLength(1);
  });
});
