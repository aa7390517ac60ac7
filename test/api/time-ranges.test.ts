/** Ranges of times are checked by hand, for speed; protovalidate, with the rules as written, is the judge. */
import { fromBinary } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import { expect, test } from 'vitest';
import { contract, registry, requestDescriptor } from '../../src/api/descriptors.ts';
import { extractTimeRanges } from '../../src/api/time-ranges.ts';
import { validatorOf } from '../../src/api/validation.ts';
import { ListWindowsRequest } from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { IngestRequest } from '../../src/gen/tallyback/ingest/v1/ingest_service.ts';
import { TrackOrderRequest } from '../../src/gen/tallyback/order/v1/order_command_service.ts';
import {
  PublishRuleSetRequest,
  ReleaseOn,
} from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import { line, trackOrder } from './support/requests.ts';

const judge = createValidator({ registry });

const judged = (path: string, bytes: Uint8Array): string[] => {
  const descriptor = requestDescriptor(path);
  const result = judge.validate(descriptor, fromBinary(descriptor, bytes));
  return (result.violations ?? []).map(({ field }) => pathToString(field)).toSorted();
};

const ours = (path: string, bytes: Uint8Array): string[] => {
  const outcome = validatorOf(path)(bytes);
  return outcome.kind === 'invalid' ? outcome.violations.map(({ field }) => field).toSorted() : [];
};

const times = [
  undefined,
  new Date(0),
  new Date('1900-01-01T00:00:00Z'),
  new Date('1899-12-31T23:59:59Z'),
  new Date('2999-12-31T23:59:59.999Z'),
  new Date('3000-01-01T00:00:00Z'),
  new Date('9999-01-01T00:00:00Z'),
];

test.each(times)('%s is judged alike, wherever it stands', (time) => {
  const order = trackOrder({
    occurredAt: time,
    lines: [line(1), line(2, { orderedAt: time }), line(3, { orderedAt: time, quantity: 0n })],
  });
  const cases: [string, Uint8Array][] = [
    ['/tallyback.order.v1.OrderCommandService/TrackOrder', TrackOrderRequest.encode(order).finish()],
    [
      '/tallyback.ingest.v1.IngestService/Ingest',
      IngestRequest.encode({ sequence: 1n, record: { $case: 'trackOrder', value: order } }).finish(),
    ],
    [
      '/tallyback.programme.v1.ProgrammeCommandService/PublishRuleSet',
      PublishRuleSetRequest.encode({
        requestId: order.requestId,
        merchant: 'shop',
        version: 0,
        occurredAt: time,
        ruleSet: {
          validFrom: time,
          validUntil: time,
          priority: 0,
          rules: [{ ruleId: 'all', categories: [], skus: [], excludedSkus: [], rateBps: 1 }],
          holdDays: 1,
          releaseOn: ReleaseOn.TRACKED,
        },
      }).finish(),
    ],
    [
      '/tallyback.figures.v1.FiguresQueryService/ListWindows',
      ListWindowsRequest.encode(
        ListWindowsRequest.fromPartial({ length: 1, from: time, until: time }),
      ).finish(),
    ],
  ];
  for (const [path, bytes] of cases) expect(ours(path, bytes)).toEqual(judged(path, bytes));
});

test('every rule on a time is one that is checked by hand', () => {
  const { checkOf, registry: without } = extractTimeRanges(registry, contract);
  let found = 0;
  for (const type of registry) {
    if (type.kind !== 'message' || !type.typeName.startsWith('tallyback.')) continue;
    if (type.typeName.startsWith('tallyback.events.')) continue;
    const timed = type.name.endsWith('Request') && type.fields.some(({ name }) => name === 'occurred_at');
    if (!timed) continue;
    found++;
    const descriptor = without.getMessage(type.typeName);
    expect([type.typeName, descriptor && checkOf(descriptor)]).toEqual([type.typeName, expect.any(Function)]);
  }
  expect(found).toBeGreaterThan(20);
});
