import { PassThrough } from 'node:stream';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { IngestRequest } from '../../src/gen/tallyback/ingest/v1/ingest_service.ts';
import { type ImportOptions, type ImportSummary, runImport } from '../../src/main/import/run-import.ts';
import { fileText, temporaryFile } from './import-file.ts';
import {
  accepted,
  type Behaviour,
  duplicate,
  failure,
  importServer,
  refused,
  type Verdict,
} from './import-server.ts';

const year = fileText(
  { invoice: '1', member: '11', date: '2010-12-31T23:59:00Z' },
  { invoice: '2', member: '22', date: '2010-12-31T23:59:00Z' },
  { invoice: '3', member: '33', date: '2011-01-05T00:00:00Z' },
  { invoice: '4', quantity: 0, date: '2011-01-05T00:00:00Z' },
);

const nameOf = ({ record }: IngestRequest): string => {
  const value = record?.value;
  if (value && 'externalId' in value) return `${record?.$case} ${value.externalId}`;
  return value && 'member' in value ? `${record?.$case} ${value.member}` : '';
};

/** A server that notes what it is asked, and answers by name. */
function noting(verdictOf: (name: string) => Verdict = () => accepted) {
  const notes: string[] = [];
  const requestIds: string[] = [];
  const behaviour: Behaviour = {
    ingest(stream) {
      stream.on('data', (request: IngestRequest) => {
        const name = nameOf(request);
        notes.push(name);
        requestIds.push(request.record?.value.requestId ?? '');
        // A little later, so that an importer that does not wait is found out.
        setTimeout(() => {
          notes.push(`${name}: answered`);
          stream.write({ sequence: request.sequence, verdict: verdictOf(name) });
        }, 5);
      });
      stream.on('end', () => stream.end());
    },
    waitFor(including) {
      notes.push(including ? 'wait for effects' : 'wait');
      return undefined;
    },
  };
  return { notes, requestIds, behaviour };
}

async function run(
  behaviour: Behaviour,
  options: Partial<ImportOptions> = {},
  text = year,
): Promise<{ summary: ImportSummary; printed: string }> {
  const out = new PassThrough();
  const target = options.target ?? (await importServer(behaviour));
  const file = await temporaryFile('rows.csv', text);
  const io = { out, isTTY: false, signal: new AbortController().signal, clock: () => new Date() };
  const summary = await runImport(
    { file, target, rebateBps: 500, holdDays: 30, withdrawMonthly: 1_000, ...options },
    io,
  );
  return { summary, printed: String(out.read() ?? '') };
}

it('waits at the turn of the month for everything before it, settles what was accepted, then goes on', async () => {
  const { notes, behaviour } = noting((name) =>
    name === 'requestWithdrawal 22' ? refused('BELOW_MINIMUM') : accepted,
  );
  const { summary, printed } = await run(behaviour);
  expect(notes.filter((note) => !note.endsWith('answered'))).toEqual([
    'trackOrder 1',
    'trackOrder 2',
    'wait for effects',
    'requestWithdrawal 11',
    'requestWithdrawal 22',
    'settleWithdrawal 11',
    'trackOrder 3',
    'wait for effects',
    'releaseDue 11',
    'releaseDue 22',
    'releaseDue 33',
    'releaseDue 17850',
    'wait for effects',
  ]);
  const place = (note: string): number => notes.indexOf(note);
  expect(place('trackOrder 2: answered')).toBeLessThan(place('wait for effects'));
  expect(place('requestWithdrawal 22: answered')).toBeLessThan(place('settleWithdrawal 11'));
  expect(place('settleWithdrawal 11: answered')).toBeLessThan(place('trackOrder 3'));
  expect(summary).toMatchObject({ completed: true, rows: 4 });
  expect(summary.tally).toMatchObject({
    documents: { accepted: 3, duplicate: 0, refused: new Map([['ZERO_QUANTITY', 1]]) },
    withdrawals: { accepted: 1, refused: new Map([['BELOW_MINIMUM', 1]]) },
    settlements: { accepted: 1 },
    rowsRefused: 1,
  });
  expect(printed).toMatch(/BELOW_MINIMUM +1 {2}\(expected\)/);
});

it('a second run asks under the same ids, and settles withdrawals that are answered as duplicates', async () => {
  const [first, second] = [noting(), noting(() => duplicate)];
  await run(first.behaviour);
  const { summary } = await run(second.behaviour);
  expect(second.requestIds).toEqual(first.requestIds);
  expect(new Set(first.requestIds).size).toBe(first.requestIds.length);
  expect(second.notes).toContain('settleWithdrawal 22');
  expect(summary.tally.documents).toMatchObject({ accepted: 0, duplicate: 3 });
});

it('nobody withdraws unless asked', async () => {
  const { notes, behaviour } = noting();
  await run(behaviour, { withdrawMonthly: undefined });
  expect(notes.some((note) => note.startsWith('requestWithdrawal'))).toBe(false);
});

it('waits on while read models lag', async () => {
  const { behaviour } = noting();
  let asked = 0;
  const waitFor = () =>
    (asked += 1) % 3 === 0 ? undefined : failure(status.UNAVAILABLE, 'READ_MODEL_LAGGING');
  const { summary } = await run({ ...behaviour, waitFor });
  expect(summary.completed).toBe(true);
  expect(asked).toBe(9);
});

describe('stops with a clear error', () => {
  it.each(['REQUEST_ID_REUSED', 'RULE_SET_VERSION_MISMATCH', 'RULE_SET_WINDOW_OVERLAP'])(
    'when there are other rules: %s',
    async (reason) => {
      const { notes, behaviour } = noting();
      const publish = () => failure(status.FAILED_PRECONDITION, reason);
      const { summary, printed } = await run({ ...behaviour, publish });
      expect(summary.completed).toBe(false);
      expect(printed).toMatch(/imported under other rules than 500 bps and 30 days/);
      expect(notes).toEqual([]);
    },
  );

  it('when withdrawals were made under another minimum', async () => {
    const { notes, behaviour } = noting((name) =>
      name.startsWith('requestWithdrawal') ? refused('REQUEST_ID_REUSED') : accepted,
    );
    const { summary, printed } = await run(behaviour);
    expect(summary.completed).toBe(false);
    expect(printed).toMatch(/under another --withdraw-monthly/);
    expect(notes).not.toContain('trackOrder 3');
  });

  it('when the file is bad, before anything is sent', async () => {
    const { notes, behaviour } = noting();
    const { summary, printed } = await run(behaviour, {}, year.slice(0, -10));
    expect(summary.completed).toBe(false);
    expect(printed).toMatch(/cut off[^]*Nothing was sent/);
    expect(notes).toEqual([]);
  });

  it('when there is no server, after the stated time', async () => {
    const { behaviour } = noting();
    const { summary, printed } = await run(behaviour, { target: '127.0.0.1:1', giveUpAfterMs: 300 });
    expect(summary.completed).toBe(false);
    expect(printed).toMatch(/UNAVAILABLE[^]*run the same command again/);
  });
});
