import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { requestWithdrawal as requestWithdrawalMapping } from '../../src/api/commands/account.ts';
import {
  CommandUnavailable,
  type CommandOutcome,
  type CommandRequest,
} from '../../src/application/commands.ts';
import { streamOf } from '../../src/application/aggregates.ts';
import { IngestRequest } from '../../src/gen/tallyback/ingest/v1/ingest_service.ts';
import { gate } from './support/bus.ts';
import { Ingesting, type IngestRecord } from './support/ingesting.ts';
import { line, receiveStock, requestWithdrawal, trackOrder } from './support/requests.ts';
import { answered, refusedBy, startTestApi, tokens, type TestApi, until } from './support/server.ts';
import { at } from './support/tables.ts';

let api: TestApi;
let ingesting: Ingesting;

async function start(
  overrides: Parameters<typeof startTestApi>[0] = {},
  options: { paused?: boolean } = {},
): Promise<void> {
  ingesting?.close();
  await api?.close();
  api = await startTestApi(overrides);
  ingesting = new Ingesting(api.address, options);
}

beforeEach(() => start());
afterEach(async () => {
  ingesting.close();
  await api.close();
});

const order = (changes: Parameters<typeof trackOrder>[0] = {}): IngestRecord => ({
  $case: 'trackOrder',
  value: trackOrder(changes),
});
const stock = (changes: Parameters<typeof receiveStock>[0] = {}): IngestRecord => ({
  $case: 'receiveStock',
  value: receiveStock(changes),
});
const withdrawal = (changes: Parameters<typeof requestWithdrawal>[0] = {}): IngestRecord => ({
  $case: 'requestWithdrawal',
  value: requestWithdrawal(changes),
});

describe('records', () => {
  test('get one verdict each, and the stream ends when the client has half-closed', async () => {
    const sent = [order(), stock(), withdrawal(), order({ externalId: 'o2', member: '' })].map((record) =>
      ingesting.send(record),
    );
    ingesting.call.end();
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toBe('OK');
    expect(ingesting.outcomes).toEqual(new Map(sent.map((sequence) => [sequence, 'accepted'])));
    const [first] = ingesting.verdicts;
    expect(
      first?.verdict?.$case === 'accepted' && tokens.decode(first.verdict.value.positionToken),
    ).toBeTruthy();
    // As the unary call would have asked.
    const request = trackOrder();
    const again = new Ingesting(api.address);
    again.send({ $case: 'trackOrder', value: request });
    await until(() => again.verdicts.length === 1);
    await answered(api.order, api.order.trackOrder, request);
    const [streamed, unary] = api.bus.requests.slice(-2);
    expect(unary).toEqual(streamed);
    again.close();
  });

  test('that were carried out before, or change nothing, are duplicates', async () => {
    const outcomes: CommandOutcome[] = [
      { kind: 'accepted', revision: 1, position: at(1), duplicate: true, unchanged: false },
      { kind: 'accepted', revision: 1, position: at(1), duplicate: false, unchanged: true },
    ];
    api.bus.behaviour = async () => outcomes.shift() ?? api.bus.accept();
    ingesting.send(stock());
    ingesting.send(stock());
    ingesting.send(stock());
    await until(() => ingesting.verdicts.length === 3);
    expect([...ingesting.outcomes.values()]).toEqual(['duplicate', 'duplicate', 'accepted']);
  });

  test('that are refused are kept if they are reports, or nothing else remembers them', async () => {
    api.bus.behaviour = async ({ aggregate, requestId }) =>
      requestId.startsWith('0')
        ? { kind: 'request-id-reused' }
        : api.bus.refuse(`NO_${aggregate.toUpperCase()}`, 'precondition');
    const id = (first: string): string => first + randomUUID().slice(1);
    const kept = order({ requestId: id('1') });
    ingesting.send(kept);
    ingesting.send(withdrawal({ requestId: id('1') }));
    ingesting.send(withdrawal({ requestId: id('0') }));
    await until(() => ingesting.verdicts.length === 3);
    expect(ingesting.outcomes).toEqual(
      new Map([
        [1n, 'NO_ORDER'],
        [2n, 'NO_ACCOUNT'],
        [3n, 'REQUEST_ID_REUSED'],
      ]),
    );
    // What was decided on what is stored has its token.
    const positions = ingesting.verdicts
      .filter(({ sequence }) => sequence < 3n)
      .map(({ verdict }) => verdict?.$case === 'refused' && tokens.decode(verdict.value.positionToken));
    expect(positions).toHaveLength(2);
    for (const position of positions) expect(position).toMatchObject({ commit: expect.any(BigInt) });
    expect(api.refusedRecords.kept.map(({ reason }) => reason)).toEqual(['NO_ORDER', 'REQUEST_ID_REUSED']);
    expect(IngestRequest.decode(api.refusedRecords.kept[0]?.record ?? Buffer.alloc(0))).toEqual({
      sequence: 1n,
      record: kept,
    });
  });

  test('that are bad are answered, kept, and hold nothing up', async () => {
    ingesting.send(stock());
    ingesting.send(order({ currency: 'EURO', lines: [line(1), line(2, { quantity: 0n })] }));
    ingesting.sendBytes(Buffer.from([0x08, 77, 0x12, 0xff, 0x01, 0x02]));
    ingesting.sendBytes(Buffer.from([0xff, 0xff]));
    ingesting.sendBytes(Buffer.from([0x08, 78]));
    ingesting.sendBytes(Buffer.alloc(0));
    ingesting.send(stock());
    ingesting.call.end();
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toBe('OK');
    expect(ingesting.verdicts).toHaveLength(7);
    expect(ingesting.outcomes).toEqual(
      new Map([
        [1n, 'accepted'],
        [2n, 'INVALID_RECORD'],
        [77n, 'MALFORMED_RECORD'],
        [0n, expect.any(String)],
        [78n, 'INVALID_RECORD'],
        [3n, 'accepted'],
      ]),
    );
    const invalid = ingesting.verdicts.find(({ sequence }) => sequence === 2n)?.verdict;
    expect(invalid).toMatchObject({
      value: { field: 'currency', message: expect.stringContaining('regex') },
    });
    expect(api.refusedRecords.kept.map(({ reason, field }) => [reason, field])).toEqual([
      ['INVALID_RECORD', 'currency'],
      ['MALFORMED_RECORD', ''],
      ['MALFORMED_RECORD', ''],
      ['INVALID_RECORD', 'record'],
      ['INVALID_RECORD', 'record'],
    ]);
    expect(api.bus.requests).toHaveLength(2);
  });

  test('that fail for a reason nobody foresaw are refused and kept, and the text stays here', async () => {
    api.bus.behaviour = (request) =>
      request.requestId.startsWith('0')
        ? Promise.reject(new RangeError('secret'))
        : Promise.resolve(api.bus.accept());
    ingesting.send(stock({ requestId: `0${randomUUID().slice(1)}` }));
    ingesting.send(stock({ requestId: `1${randomUUID().slice(1)}` }));
    await until(() => ingesting.verdicts.length === 2);
    expect(ingesting.outcomes).toEqual(
      new Map([
        [1n, 'INTERNAL_ERROR'],
        [2n, 'accepted'],
      ]),
    );
    const verdict = ingesting.verdicts.find(({ sequence }) => sequence === 1n)?.verdict;
    expect(verdict).toMatchObject({ value: { message: expect.stringContaining('error-1') } });
    expect(api.log.join()).toContain('secret');
  });

  test('that cannot even be made a command for such a reason are answered under their own sequence', async () => {
    const broken = vi.spyOn(requestWithdrawalMapping, 'toCommand').mockImplementation(() => {
      throw new RangeError('secret');
    });
    ingesting.send(stock());
    ingesting.send(withdrawal());
    await until(() => ingesting.verdicts.length === 2);
    broken.mockRestore();
    expect(ingesting.outcomes).toEqual(
      new Map([
        [1n, 'accepted'],
        [2n, 'INTERNAL_ERROR'],
      ]),
    );
    expect(api.refusedRecords.kept.map(({ reason }) => reason)).toEqual(['INTERNAL_ERROR']);
  });

  test('refused are listed, page by page', async () => {
    for (let n = 0; n < 5; n++) ingesting.sendBytes(Buffer.from([0x08, n + 1]));
    ingesting.sendBytes(Buffer.from([0xff]));
    await until(() => ingesting.verdicts.length === 6);
    const list = (reason: string, pageToken: string) => ({ reason, page: { pageSize: 2, pageToken } });
    const ids: bigint[] = [];
    let token = '';
    do {
      const answer = await answered(api.ingest, api.ingest.listRefusedRecords, list('INVALID_RECORD', token));
      ids.push(...answer.records.map(({ recordId }) => recordId));
      token = answer.nextPageToken;
    } while (token !== '');
    expect(ids).toHaveLength(5);
    const first = await answered(api.ingest, api.ingest.listRefusedRecords, list('INVALID_RECORD', ''));
    expect(first.records[0]).toMatchObject({
      refusal: { reason: 'INVALID_RECORD', field: 'record' },
      times: 1n,
    });
    expect(
      await refusedBy(api.ingest, api.ingest.listRefusedRecords, list('', first.nextPageToken)),
    ).toMatchObject({ reason: 'PAGE_TOKEN_INVALID' });
  });
});

describe('order', () => {
  /** Carries out in random time; remembers starts and ends. */
  function recording(): { readonly started: CommandRequest[]; readonly overlaps: string[] } {
    const running = new Set<CommandRequest>();
    const started: CommandRequest[] = [];
    const overlaps: string[] = [];
    let seed = 3;
    api.bus.behaviour = async (request) => {
      for (const other of running) {
        if (
          memberOf(other) === memberOf(request) &&
          memberOf(request) !== '' &&
          streamOf(other) !== streamOf(request)
        ) {
          overlaps.push(memberOf(request));
        }
      }
      started.push(request);
      running.add(request);
      seed = (seed * 48_271) % 2_147_483_647;
      await delay(seed % 8);
      running.delete(request);
      return api.bus.accept();
    };
    return { started, overlaps };
  }
  const memberOf = ({ command }: CommandRequest): string => ('member' in command ? command.member : '');

  test('is kept per member and per document, and others go side by side', async () => {
    const { started, overlaps } = recording();
    const sent: { member: string; document: string; requestId: string }[] = [];
    for (let n = 0; n < 400; n++) {
      const member = `m${n % 7}`;
      const document = `o${n % 31}`;
      const requestId = randomUUID();
      if (n % 5 === 0) {
        sent.push({ member: '', document, requestId });
        ingesting.send({
          $case: 'confirmOrder',
          value: {
            requestId,
            source: 'shop',
            externalId: document,
            occurredAt: new Date(0),
            sourceVersion: 1n,
          },
        });
      } else if (n % 3 === 0) {
        sent.push({ member, document: '', requestId });
        ingesting.send(withdrawal({ member, requestId, withdrawalId: `w${n}` }));
      } else {
        sent.push({ member, document, requestId });
        ingesting.send(order({ member, externalId: document, requestId }));
      }
    }
    await until(() => ingesting.verdicts.length === 400);
    expect(overlaps).toEqual([]);
    const place = new Map(started.map(({ requestId }, index) => [requestId, index]));
    for (const by of ['member', 'document'] as const) {
      for (const key of new Set(sent.map((record) => record[by]))) {
        if (key === '') continue;
        const places = sent
          .filter((record) => record[by] === key)
          .map(({ requestId }) => place.get(requestId) ?? -1);
        expect(places).toEqual(places.toSorted((a, b) => a - b));
      }
    }
    expect(api.bus.most).toBeGreaterThan(3);
  });

  test('within one stream is left to the command bus, which can store them together', async () => {
    const { opened, open } = gate();
    api.bus.behaviour = async () => {
      await opened;
      return api.bus.accept();
    };
    for (let n = 0; n < 20; n++) ingesting.send(stock());
    await until(() => api.bus.running === 20);
    open();
    await until(() => ingesting.verdicts.length === 20);
    expect(api.bus.most).toBe(20);
  });
});

describe('the window', () => {
  test('bounds what is carried out at once, and the client feels it', async () => {
    await start({ limits: { ingestWindow: 10 } });
    const { opened, open } = gate();
    api.bus.behaviour = async () => {
      await opened;
      return api.bus.accept();
    };
    const big = 'x'.repeat(100);
    let accepted = 0;
    for (let n = 0; n < 5_000; n++) {
      const bytes = IngestRequest.encode({
        sequence: BigInt(n),
        record: stock({ sku: `${big}${n}`, reference: big }),
      }).finish();
      if (ingesting.sendBytes(Buffer.from(bytes))) accepted++;
    }
    await until(() => api.bus.running === 10);
    await delay(100);
    expect(api.bus.running).toBe(10);
    expect(api.bus.requests).toHaveLength(10);
    expect(accepted).toBeLessThan(1_000);
    open();
    await until(() => ingesting.verdicts.length === 5_000, 15_000);
    expect(api.bus.most).toBe(10);
  });

  test('shuts when the client does not read its verdicts, and opens again', async () => {
    await start({}, { paused: true });
    const total = 20_000;
    // Refusals with long texts fill the way back soon.
    api.bus.behaviour = async () => api.bus.refuse('X'.repeat(2_000), 'invalid');
    let sent = 0;
    const pump = (): void => {
      while (sent < total) {
        sent++;
        const bytes = IngestRequest.encode({
          sequence: BigInt(sent),
          record: stock({ sku: `s${sent}` }),
        }).finish();
        if (!ingesting.sendBytes(Buffer.from(bytes))) return;
      }
    };
    ingesting.call.on('drain', pump);
    pump();
    let before = -1;
    while (api.bus.requests.length !== before || before === 0) {
      before = api.bus.requests.length;
      await delay(200);
    }
    expect(api.bus.requests.length).toBeLessThan(total / 2);
    ingesting.call.resume();
    await until(() => ingesting.verdicts.length === total, 15_000);
  });
});

describe('the end of the stream', () => {
  test('comes with UNAVAILABLE when the store does not answer, after all finished verdicts', async () => {
    const { opened, open } = gate();
    api.bus.behaviour = async (request) => {
      const { member } = request.command as { member: string };
      if (member === 'lost') throw new CommandUnavailable('down');
      if (member === 'slow') await opened;
      return api.bus.accept();
    };
    ingesting.send(withdrawal({ member: 'fine' }));
    ingesting.send(withdrawal({ member: 'slow' }));
    // Another stream of that member: it waits, and must not be carried out after all.
    ingesting.send(order({ member: 'slow' }));
    await until(() => ingesting.verdicts.length === 1);
    ingesting.send(withdrawal({ member: 'lost' }));
    await delay(50);
    expect(ingesting.ended).toBeUndefined();
    open();
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'STORE_UNAVAILABLE',
      retryMs: 1_000,
    });
    expect(ingesting.outcomes).toEqual(
      new Map([
        [1n, 'accepted'],
        [2n, 'accepted'],
      ]),
    );
    expect(api.bus.requests.some(({ aggregate }) => aggregate === 'order')).toBe(false);
  });

  test('comes with UNAVAILABLE when a bad record cannot be kept: it has no verdict then', async () => {
    api.refusedRecords.failure = Object.assign(new Error('gone'), { code: 'ECONNRESET' });
    ingesting.sendBytes(Buffer.from([0xff]));
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toMatchObject({ code: 'UNAVAILABLE' });
    expect(ingesting.verdicts).toEqual([]);
  });

  test('comes with RESOURCE_EXHAUSTED on a message over 4 MiB; what was taken is finished, and the server goes on', async () => {
    const { opened, open } = gate();
    let finished = 0;
    api.bus.behaviour = async () => {
      await opened;
      finished++;
      return api.bus.accept();
    };
    ingesting.send(stock());
    await until(() => api.bus.running === 1);
    ingesting.sendBytes(Buffer.alloc((4 << 20) + 1));
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining('larger than max'),
      reason: '',
    });
    open();
    await until(() => finished === 1);
    const next = new Ingesting(api.address);
    next.send(stock());
    next.call.end();
    await until(() => next.ended !== undefined);
    expect(next.ended).toBe('OK');
    next.close();
    expect([...next.outcomes.values()]).toEqual(['accepted']);
    expect(api.log).toEqual([]);
  });

  test('on a half-close waits for all that is in flight', async () => {
    const { opened, open } = gate();
    api.bus.behaviour = async () => {
      await opened;
      return api.bus.accept();
    };
    for (let n = 0; n < 50; n++) ingesting.send(stock({ sku: `s${n}` }));
    ingesting.call.end();
    await until(() => api.bus.running === 50);
    expect(ingesting.ended).toBeUndefined();
    open();
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toBe('OK');
    expect(ingesting.verdicts).toHaveLength(50);
  });

  test('without a record is fine', async () => {
    ingesting.call.end();
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toBe('OK');
  });

  test('on a cancel takes no more, and finishes what is in flight', async () => {
    const { opened, open } = gate();
    let finished = 0;
    api.bus.behaviour = async () => {
      await opened;
      finished++;
      return api.bus.accept();
    };
    for (let n = 0; n < 20; n++) ingesting.send(stock({ sku: `s${n}` }));
    await until(() => api.bus.running === 20);
    ingesting.call.cancel();
    await until(() => ingesting.ended !== undefined);
    open();
    await until(() => finished === 20);
    // And the server is none the worse.
    await answered(api.item, api.item.receiveStock, receiveStock());
    expect(api.log).toEqual([]);
  });

  test('on a stop comes with UNAVAILABLE, after the verdicts of all that was taken', async () => {
    const { opened, open } = gate();
    api.bus.behaviour = async () => {
      await opened;
      return api.bus.accept();
    };
    for (let n = 0; n < 20; n++) ingesting.send(stock({ sku: `s${n}` }));
    await until(() => api.bus.running === 20);
    const stopped = api.server.stop(5_000);
    await delay(50);
    ingesting.send(stock());
    await delay(50);
    expect(api.bus.requests).toHaveLength(20);
    open();
    await stopped;
    await until(() => ingesting.ended !== undefined);
    expect(ingesting.ended).toMatchObject({ code: 'UNAVAILABLE', reason: 'SERVER_STOPPING', retryMs: 1_000 });
    expect(ingesting.verdicts).toHaveLength(20);
  });
});
