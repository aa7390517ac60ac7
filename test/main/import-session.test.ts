import { status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connect } from '../../src/main/client/connect.ts';
import {
  type IngestRecord,
  IngestSession,
  type SessionOptions,
} from '../../src/main/client/ingest-session.ts';
import { accepted, duplicate, failure, importServer, type IngestStream, refused } from './import-server.ts';

const record = (member: string): IngestRecord => ({
  $case: 'releaseDue',
  value: { requestId: member, member, currency: 'GBP', occurredAt: new Date(0) },
});
const memberOf = ({ value }: IngestRecord): string => ('member' in value ? value.member : '');

function session(target: string, options: Partial<SessionOptions> = {}) {
  const connection = connect(target);
  const verdicts: string[] = [];
  const made = new IngestSession({
    client: connection.ingest,
    window: 8,
    onVerdict: (what, verdict) => verdicts.push(`${memberOf(what)} ${verdict.$case}`),
    random: () => 0,
    signal: new AbortController().signal,
    ...options,
  });
  onTestFinished(async () => {
    await made.close();
    connection.close();
  });
  return { session: made, verdicts };
}

const answerAll = (stream: IngestStream): void => {
  stream.on('data', ({ sequence }) => stream.write({ sequence, verdict: accepted }));
  stream.on('end', () => stream.end());
};

it('gives every record its verdict, in whatever order they come', async () => {
  const target = await importServer({
    ingest(stream) {
      const held: bigint[] = [];
      stream.on('data', ({ sequence }) => {
        held.unshift(sequence);
        if (held.length < 3) return;
        const [third = 0n, second = 0n, first = 0n] = held;
        stream.write({ sequence: third, verdict: accepted });
        stream.write({ sequence: second, verdict: refused('NO') });
        stream.write({ sequence: first, verdict: duplicate });
      });
    },
  });
  const { session: s, verdicts } = session(target);
  for (const member of ['a', 'b', 'c']) s.send(record(member));
  await s.answered();
  expect(verdicts).toEqual(['c accepted', 'b refused', 'a duplicate']);
  expect(s.unanswered).toBe(0);
});

it('never has more records on the way than the window holds', async () => {
  let onTheWay = 0;
  let most = 0;
  const target = await importServer({
    ingest: (stream) =>
      stream.on('data', ({ sequence }) => {
        most = Math.max(most, (onTheWay += 1));
        setTimeout(() => {
          onTheWay -= 1;
          stream.write({ sequence, verdict: accepted });
        }, 1);
      }),
  });
  const { session: s, verdicts } = session(target);
  for (let n = 0; n < 200; n += 1) {
    await s.room();
    s.send(record(String(n)));
  }
  await s.answered();
  expect(verdicts).toHaveLength(200);
  expect(most).toBeLessThanOrEqual(8);
  expect(most).toBeGreaterThan(1);
});

it('stops writing while the server does not read', async () => {
  let go = (): void => undefined;
  const target = await importServer({
    ingest(stream) {
      stream.pause();
      stream.on('data', ({ sequence }) => stream.write({ sequence, verdict: accepted }));
      stream.pause();
      go = () => stream.resume();
    },
  });
  const { session: s, verdicts } = session(target, { window: 4_000 });
  const long = 'x'.repeat(1_000);
  for (let n = 0; n < 3_000; n += 1) s.send(record(`${n}${long}`));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(verdicts).toHaveLength(0);
  go();
  await s.answered();
  expect(verdicts).toHaveLength(3_000);
});

describe('when the stream is lost', () => {
  it('sends again what has no verdict, in the first order, before anything new', async () => {
    const second: string[] = [];
    const target = await importServer({
      ingest(stream, number) {
        if (number > 0) {
          stream.on('data', ({ record: what }: { record: IngestRecord }) => second.push(memberOf(what)));
          answerAll(stream);
          return;
        }
        let got = 0;
        stream.on('data', ({ sequence }) => {
          got += 1;
          if (got === 2) stream.write({ sequence, verdict: accepted });
          if (got === 4) stream.emit('error', failure(status.UNAVAILABLE, 'SHUTTING_DOWN'));
        });
      },
    });
    const lost: string[] = [];
    const { session: s, verdicts } = session(target, { onLost: (why) => lost.push(why) });
    for (const member of ['a', 'b', 'c', 'd']) s.send(record(member));
    await expect.poll(() => lost.length).toBe(1);
    s.send(record('e'));
    await s.answered();
    expect(second).toEqual(['a', 'c', 'd', 'e']);
    expect(verdicts).toEqual(['b accepted', 'a accepted', 'c accepted', 'd accepted', 'e accepted']);
    expect(lost[0]).toMatch(/UNAVAILABLE, SHUTTING_DOWN/);
  });

  it('goes on also when the server ended it without an error', async () => {
    const target = await importServer({
      ingest: (stream, number) => (number === 0 ? stream.end() : answerAll(stream)),
    });
    const { session: s, verdicts } = session(target);
    s.send(record('a'));
    await s.answered();
    expect(verdicts).toEqual(['a accepted']);
  });

  it('takes a stream that owes verdicts and is silent for lost', async () => {
    const target = await importServer({
      ingest: (stream, number) => void (number === 0 ? stream.resume() : answerAll(stream)),
    });
    const { session: s, verdicts } = session(target, { stallAfterMs: 100 });
    s.send(record('a'));
    await s.answered();
    expect(verdicts).toEqual(['a accepted']);
  });

  it('gives up after the stated time', async () => {
    const { session: s } = session('127.0.0.1:1', { giveUpAfterMs: 300 });
    s.send(record('a'));
    await expect(s.answered()).rejects.toThrow(/no answer from the server for 0 s; last: UNAVAILABLE/);
    await expect(s.room()).rejects.toThrow(/no answer/);
  });

  it('does not try again what can never succeed', async () => {
    let streams = 0;
    const target = await importServer({
      ingest(stream) {
        streams += 1;
        stream.emit('error', failure(status.UNAUTHENTICATED, 'TOKEN_MISSING'));
      },
    });
    const { session: s } = session(target);
    s.send(record('a'));
    await expect(s.answered()).rejects.toThrow(/UNAUTHENTICATED, TOKEN_MISSING/);
    expect(streams).toBe(1);
  });

  it('does not send again a record that is larger than the server takes', async () => {
    let streams = 0;
    const target = await importServer({
      ingest(stream) {
        streams += 1;
        answerAll(stream);
        // grpc-js itself ends the stream; that is no news to this server.
        stream.on('error', () => undefined);
      },
    });
    const { session: s } = session(target);
    s.send(record('x'.repeat(5 << 20)));
    await expect(s.answered()).rejects.toThrow(
      /a record is larger than the server takes; RESOURCE_EXHAUSTED: Received message larger than max/,
    );
    expect(streams).toBe(1);
  });

  it('tries again what the server has no room for now', async () => {
    const target = await importServer({
      ingest(stream, number) {
        if (number === 0) stream.emit('error', failure(status.RESOURCE_EXHAUSTED, 'TOO_MANY'));
        else answerAll(stream);
      },
    });
    const { session: s, verdicts } = session(target);
    s.send(record('a'));
    await s.answered();
    expect(verdicts).toEqual(['a accepted']);
  });
});

it('ends at once when the signal aborts', async () => {
  const controller = new AbortController();
  const target = await importServer({ ingest: (stream) => void stream.resume() });
  const { session: s } = session(target, { signal: controller.signal });
  s.send(record('a'));
  setTimeout(() => controller.abort(new Error('enough')), 50);
  await expect(s.answered()).rejects.toThrow('enough');
});

it('fails when the server answers what was never sent', async () => {
  const target = await importServer({
    ingest: (stream) => stream.on('data', () => stream.write({ sequence: 77n, verdict: accepted })),
  });
  const { session: s } = session(target);
  s.send(record('a'));
  await expect(s.answered()).rejects.toThrow(/number 77/);
});
