/** Read models in which a mistake of the engine shows. */
import { defineReadModel, type ReadModel } from '../../../src/projections/engine/read-model.ts';

/** Counts events per stream: counting one twice, or leaving one out, shows. */
export const tally = defineReadModel({
  name: 'tally',
  version: 1,
  table: { columns: { stream: 'text', events: 'bigint', revision: 'bigint' }, key: ['stream'] },
  handles: ['RebateAccrued', 'RebateReversed', 'ReturnTaken', 'OrderTracked', 'StockSold'],
  keys: ({ stream }) => [[stream]],
  fold: (row, { stream, revision }) => ({
    stream,
    events: (row?.events ?? 0n) + 1n,
    revision: BigInt(revision),
  }),
});

const sound: ReadModel = tally;

/** The same, but it cannot take in returns. */
export const brittle: ReadModel = {
  ...sound,
  name: 'brittle',
  fold: (row, logged, key) => {
    if (logged.event.type === 'ReturnTaken') throw new Error('no returns, please');
    return sound.fold(row, logged, key);
  },
};

/** That one, put right. */
export const mended: ReadModel = { ...sound, name: 'brittle' };
