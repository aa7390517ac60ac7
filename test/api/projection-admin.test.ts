/** Operating read models over gRPC: what is passed on, what comes back, how it is refused. */
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  CancelRebuildRequest,
  GenerationState,
  ListParkedEventsRequest,
  ListParkedRequest,
  RebuildStage,
  RetryParkedRequest,
  RollbackRequest,
  StartRebuildRequest,
  WatchRebuildRequest,
  type WatchRebuildResponse,
} from '../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { OperatorRefused } from '../../src/projections/engine/operator.ts';
import type { ParkedEvent } from '../../src/projections/engine/storage.ts';
import { report } from './support/operator.ts';
import { answered, refusedBy, startTestApi, type TestApi, tokens, until } from './support/server.ts';

let api: TestApi;
beforeEach(async () => {
  api = await startTestApi({ countEvents: (after, head) => head.commit - after.commit });
});
afterEach(() => api.close());

const at = (commit: bigint) => ({ commit, prepare: commit });
const olga = { projection: 'balance', operator: 'olga' };

describe('actions', () => {
  test('are passed on with who asked', async () => {
    const { projections: client } = api;
    const start = (dryRun: boolean) =>
      answered(client, client.startRebuild, StartRebuildRequest.fromPartial({ ...olga, dryRun }));
    expect(await start(false)).toEqual({ generation: 2 });
    await start(true);
    const rebuild = { ...olga, generation: 2 };
    await answered(client, client.pauseRebuild, rebuild);
    await answered(client, client.resumeRebuild, rebuild);
    await answered(client, client.cancelRebuild, rebuild);
    await answered(client, client.acceptRebuild, rebuild);
    expect(await answered(client, client.rollback, RollbackRequest.fromPartial(olga))).toEqual({
      generation: 1,
    });
    const scope = 'row:["ann","GBP"]';
    expect(await answered(client, client.retryParked, { ...olga, scope })).toEqual({ events: 3n });
    expect(await answered(client, client.dropParked, { ...olga, scope })).toEqual({ events: 4n });
    expect(api.operator.asked).toEqual([
      'rebuild balance olga',
      'dry run balance olga',
      'pause balance/2 olga',
      'run balance/2 olga',
      'cancel balance/2 olga',
      'accept balance/2 olga',
      'rollback balance olga',
      'retry balance row:["ann","GBP"] olga',
      'drop balance row:["ann","GBP"] olga',
    ]);
  });

  test.each([
    ['NOT_FOUND', 'NOT_FOUND', 'SUBJECT_NOT_FOUND', 'ResourceInfo'],
    ['NOT_NOW', 'FAILED_PRECONDITION', 'NOT_NOW', 'PreconditionFailure'],
    ['STILL_FAILS', 'FAILED_PRECONDITION', 'STILL_FAILS', 'PreconditionFailure'],
  ] as const)('that are refused (%s) say why', async (refusal, code, reason, detail) => {
    api.operator.refusal = new OperatorRefused(refusal, 'because of this');
    const failure = await refusedBy(
      api.projections,
      api.projections.rollback,
      RollbackRequest.fromPartial(olga),
    );
    expect(failure).toMatchObject({ code, reason, message: 'because of this', domain: 'tallyback' });
    expect(failure.types).toContain(detail);
  });

  test('need a projection that there is, somebody who asks, and a scope', async () => {
    const { projections: client } = api;
    const unknown = RollbackRequest.fromPartial({ ...olga, projection: 'nothing' });
    expect(await refusedBy(client, client.rollback, unknown)).toMatchObject({
      code: 'NOT_FOUND',
      reason: 'PROJECTION_NOT_FOUND',
      message: expect.stringContaining('there are balance, statement'),
    });
    const nobody = RollbackRequest.fromPartial({ projection: 'balance' });
    expect(await refusedBy(client, client.rollback, nobody)).toMatchObject({
      fields: expect.arrayContaining(['operator']),
    });
    const nowhere = RetryParkedRequest.fromPartial({ ...olga, scope: 'somewhere' });
    expect(await refusedBy(client, client.retryParked, nowhere)).toMatchObject({ fields: ['scope'] });
    const none = CancelRebuildRequest.fromPartial(olga);
    expect(await refusedBy(client, client.cancelRebuild, none)).toMatchObject({ fields: ['generation'] });
  });
});

describe('what there is', () => {
  test('is listed, with the lag and the failure', async () => {
    api.state.head = at(10n);
    api.operator.reports = [
      report({ position: at(4n), failure: { error: 'no', stack: 'at line 1', at: at(5n) }, stage: 'failed' }),
    ];
    const { generations, headToken } = await answered(api.projections, api.projections.listProjections, {});
    expect(headToken).toBe(tokens.encode(at(10n)));
    expect(generations).toMatchObject([
      {
        projection: 'balance',
        state: GenerationState.BUILDING,
        stage: RebuildStage.FAILED,
        positionToken: tokens.encode(at(4n)),
        lagEvents: 6n,
        failure: { error: 'no', stack: 'at line 1', positionToken: tokens.encode(at(5n)) },
      },
    ]);
  });

  test('that is parked is shown, up to a thousand', async () => {
    const event: ParkedEvent = {
      scope: 'stream:account-ann',
      stream: 'account-ann',
      revision: 7,
      type: 'T',
      position: at(3n),
      error: 'no',
      stack: undefined,
    };
    api.operator.events = Array.from({ length: 1_500 }, () => event);
    api.operator.scopes = [
      {
        model: 'balance',
        generation: 1,
        scope: event.scope,
        events: 1_500n,
        first: event,
        parkedAt: new Date(5),
      },
    ];
    const { projections: client } = api;
    expect(await answered(client, client.listParked, ListParkedRequest.fromPartial({}))).toMatchObject({
      scopes: [{ projection: 'balance', events: 1_500n, first: { revision: 7n, error: 'no', stack: '' } }],
      scopeCount: 1n,
    });
    const asked = ListParkedEventsRequest.fromPartial({
      projection: 'balance',
      generation: 1,
      scope: event.scope,
    });
    const listed = await answered(client, client.listParkedEvents, asked);
    expect(listed).toMatchObject({ eventCount: 1_500n });
    expect(listed.events).toHaveLength(1_000);
  });

  test('about a rebuild is told until nothing more happens by itself', async () => {
    const call = api.projections.watchRebuild({ projection: 'balance', generation: 2 });
    const seen: WatchRebuildResponse[] = [];
    call.on('data', (message: WatchRebuildResponse) => seen.push(message));
    const ended = new Promise((resolve) => call.on('end', resolve));
    await until(() => seen.length === 1);
    const comparison = {
      through: at(4n),
      rows: { before: 2n, after: 1n },
      checksum: { before: '1', after: '2' },
      differences: 1n,
      examples: [{ key: '["ann"]', before: '(ann,1)', after: undefined }],
    };
    api.operator.reports = [report({ stage: 'differs', report: { comparison, error: undefined } })];
    await ended;
    expect(seen).toHaveLength(2);
    expect(seen[1]?.generation).toMatchObject({
      stage: RebuildStage.DIFFERS,
      report: {
        rowsBefore: 2n,
        rowsAfter: 1n,
        checksumBefore: '1',
        differences: 1n,
        examples: [{ key: '["ann"]', before: '(ann,1)', after: '' }],
      },
    });
    const unknown = api.projections.watchRebuild(
      WatchRebuildRequest.fromPartial({ projection: 'balance', generation: 9 }),
    );
    unknown.on('data', () => undefined);
    const code = await new Promise((resolve) =>
      unknown.on('error', (error) => resolve('code' in error && error.code)),
    );
    expect(code).toBe(status.NOT_FOUND);
  });
});
