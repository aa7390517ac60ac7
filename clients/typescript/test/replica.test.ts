/** Ledgers: an entry never changes, so one that comes again after a resume is not told again. */
import { expect, test } from 'vitest';
import { StatementEntry, WatchHeader } from '../src/index.ts';
import { statement } from '../src/watch/forms.ts';
import { Replica } from '../src/watch/replica.ts';

const message = (sequence: bigint, ...revisions: bigint[]) => ({
  header: WatchHeader.fromPartial({ sequence }),
  event: {
    $case: 'changes' as const,
    value: {
      entries: revisions.map((revision) => StatementEntry.fromPartial({ member: 'ann', revision })),
    },
  },
});

test('statement entries are told once, also when a stream breaks off before their token came', () => {
  const replica = new Replica(statement, 1_000);
  replica.begin(false);
  expect(replica.take(message(1n, 0n, 1n))).toMatchObject({ rows: [{ revision: 0n }, { revision: 1n }] });
  replica.begin(false);
  expect(replica.take(message(1n, 0n, 1n))).toBeUndefined();
  expect(replica.take(message(2n, 1n, 2n))).toMatchObject({ rows: [{ revision: 2n }] });
  expect(replica.rows.size).toBe(3);
});
