/**
 * Read models that notice when they get events twice, not at all, or in another order; plain JavaScript, because worker
 * threads, which know no compiler, fold them too.
 */

const handles = [
  'RebateAccrued',
  'RebateReversed',
  'ReturnTaken',
  'WithdrawalRequested',
  'OrderTracked',
  'OrderAmended',
  'LinesReturned',
  'StockSold',
  'StockTakenBack',
];

const table = {
  columns: { subject: 'text', revision: 'bigint', position_seen: 'bigint', trace: 'bigint' },
  key: ['subject'],
};

/** Depends on every event and their order. */
const traced = (row, { revision, position }, [subject]) => {
  if (row && position.commit <= row.position_seen) throw new Error(`${subject} goes back`);
  return {
    subject,
    revision: BigInt(revision),
    position_seen: position.commit,
    trace: ((row?.trace ?? 7n) * 31n + position.commit) % (1n << 61n),
  };
};

/** Also with rows that go away and come again. */
const fold = (row, logged, key) => {
  const next = traced(row, logged, key);
  return next.trace % 9n === 0n ? undefined : next;
};

const byStream = ({ stream }) => [[stream]];
const crossing = ({ stream, event, position }) => [
  [stream.split('-')[0]],
  [event.type],
  [`bucket ${position.commit % 11n}`],
  [`bucket ${position.commit % 7n}'s`],
];

const declare = (name, partitionBy, keys, more) => ({
  name,
  version: 1,
  table,
  handles,
  partitionBy,
  keys,
  fold,
  ...more,
});

/** Cannot fold some events, and cannot even say which rows others are about. */
const failing = (keys) => ({
  keys(logged) {
    if (logged.position.commit % 61n === 60n) throw new Error('no key');
    return keys(logged);
  },
  fold(row, logged, key) {
    if (logged.position.commit % 41n === 40n && key[0].length % 2 === 0) throw new Error('no row');
    return fold(row, logged, key);
  },
});

/** Stops before the event at this position. */
const stopsAt = 150n;
const stopping = {
  onFailure: 'stop',
  fold(row, logged, key) {
    if (logged.position.commit >= stopsAt) throw new Error('no further');
    return fold(row, logged, key);
  },
};

export const orderKeeping = [
  declare('ordered_streams', 'stream', byStream),
  declare('ordered_keys', 'key', crossing),
];
const failingModels = [
  declare('failing_streams', 'stream', byStream, failing(byStream)),
  declare('failing_keys', 'key', crossing, failing(crossing)),
];
export const stoppingModels = [
  declare('stopping_streams', 'stream', byStream, stopping),
  declare('stopping_keys', 'key', crossing, stopping),
];
export const threadModels = [...orderKeeping, ...failingModels, ...stoppingModels];
