/**
 * Sends changes of a balance to all who watch, one after the other without a pause, so that what is measured is how they
 * get out, and not where they come from.
 *
 *   watch   by the product's change feed, watches and senders, from a read model in memory, which has the next commit
 *           as soon as all have been sent the last
 *   beat    the same bytes by plain writes of grpc-js: one to each, as soon as all have been sent the last
 *   flood   the same bytes by plain writes, to each as fast as its stream takes them
 */
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { type BoundMethod, Rpc } from '../../src/api/handler.ts';
import { defaultLimits } from '../../src/api/limits.ts';
import { balanceOf } from '../../src/api/row-messages.ts';
import { StopSignal } from '../../src/api/stop-signal.ts';
import { ChangeEncoder } from '../../src/api/watch/change-encoder.ts';
import { ChangeFeed } from '../../src/api/watch/change-feed.ts';
import { WatchCounts } from '../../src/api/watch/counts.ts';
import * as messages from '../../src/api/watch/messages.ts';
import type { Outlet } from '../../src/api/watch/outlet.ts';
import { resumeTokens } from '../../src/api/watch/resume-token.ts';
import { Semaphore } from '../../src/api/watch/semaphore.ts';
import { Stamps } from '../../src/api/watch/stamps.ts';
import { watch } from '../../src/api/watch/watch.ts';
import { WatchedTable } from '../../src/api/watch/watched-table.ts';
import { positionTokens } from '../../src/application/position-token.ts';
import { sealWith } from '../../src/application/seal.ts';
import type { Position } from '../../src/eventstore/port.ts';
import {
  AccountQueryServiceService,
  Balance,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { balance, type BalanceRow } from '../../src/projections/balance/balance.ts';
import type { Columns, RowOf } from '../../src/projections/engine/read-model.ts';
import type { ChangePage, Progress, ReadModelReader } from '../../src/projections/engine/reading.ts';

const mode = process.argv[2];
/** How many watch before it begins. */
const watchers = Number(process.argv[3]);

const row: BalanceRow = {
  member: 'a-member-with-an-id-of-36-characters',
  currency: 'GBP',
  pending_minor: 1_234n,
  available_minor: 56_789n,
  reserved_minor: 0n,
  paid_minor: 10_000n,
  debt_minor: 0n,
  accrued_minor: 68_023n,
  reversed_minor: 0n,
  adjusted_minor: 0n,
  entry_count: 123n,
  orphan_units: 0n,
  frozen: false,
  changed_at: new Date(),
  revision: 456n,
};

const key = new Uint8Array(32);
const tokens = positionTokens(key, 'bench');
const feedTokens = resumeTokens(sealWith(key, 'bench'), 'projection:balance');
const encoder = new ChangeEncoder<typeof balance.table.columns>({
  encode: (one) => Balance.encode(balanceOf(one)).finish(),
});
const scope = 'x'.repeat(12);
const stopping = new StopSignal();
const rpc = new Rpc({ stopping, log: console.error, newErrorId: () => 'bench' });

/** One row that every commit changes. */
class OneRow {
  #at = 100_000n;
  #advanced = (): void => undefined;

  get position(): Position {
    return { commit: this.#at, prepare: this.#at };
  }

  commit(): void {
    this.#at++;
    this.#advanced();
  }

  readonly progress: Progress = {
    through: async () => this.position,
    list: async () => [],
    reached: async () => undefined,
    onAdvance: (_name, callback) => {
      this.#advanced = () => setImmediate(callback, undefined);
      return () => undefined;
    },
  };

  readonly reader: ReadModelReader = {
    get: () => Promise.reject(new Error('is not asked for')),
    list: () => Promise.reject(new Error('is not asked for')),
    snapshot: () => Promise.reject(new Error('is not asked for')),
    changes: async <C extends Columns>(
      ...[, , after]: Parameters<ReadModelReader['changes']>
    ): Promise<ChangePage<C>> => {
      const rows: readonly object[] =
        after.position.commit < this.#at ? [{ ...row, revision: this.#at }] : [];
      const through = this.position;
      return {
        rows: rows as RowOf<C>[],
        commits: rows.map(() => this.#at),
        cursor: { position: through, key: undefined },
        end: true,
        through,
        incarnation: '1',
      };
    },
  };
}

function byWatches(): BoundMethod {
  const table = new OneRow();
  const { reader, progress } = table;
  const counts = new WatchCounts();
  const common = { reader, progress, counts, clock: () => new Date(), head: async () => table.position };
  const feed = new ChangeFeed(balance, encoder, { ...common, lagMs: 2_000, log: console.error });
  const snapshots = new Semaphore(1);
  const parts = {
    ...common,
    model: balance,
    feed,
    encoder,
    stamps: new Stamps({ tokens, resumeTokens: feedTokens, clock: common.clock }),
    limits: defaultLimits,
    snapshots,
  };
  const settings = {
    resumeFrom: undefined,
    changesOnly: true,
    notCaughtUpBefore: undefined,
    conflationMs: 0,
    heartbeatMs: 60_000,
    failOnReset: false,
  };
  let written = 0;
  // The first message of each says that it has caught up.
  const wrote = (): void => {
    if (++written % watchers === 0) table.commit();
  };
  return rpc.serverStream(AccountQueryServiceService.watchBalances, async (_request, call) => {
    const outlet: Outlet = {
      ending: call.ending,
      write(message) {
        const keepsUp = call.write(message);
        wrote();
        return keepsUp;
      },
      room: (signal) => call.room(signal),
      cutOff: () => call.cutOff(),
    };
    const watched = new WatchedTable(parts, { filter: {} }, scope);
    await watch(parts, { watched, scope, settings }, outlet);
  });
}

type Raw = ServerWritableStream<Buffer, Uint8Array>;

function byPlainWrites(send: (streams: readonly Raw[], message: Uint8Array) => Promise<never>): BoundMethod {
  const { definition } = rpc.serverStream(AccountQueryServiceService.watchBalances, async () => undefined);
  const position = { commit: 100_000n, prepare: 100_000n };
  const stamps = new Stamps({ tokens, resumeTokens: feedTokens, clock: () => new Date() });
  const stamp = stamps.of(scope, position, '1');
  const [event = new Uint8Array()] = encoder.encode([{ ...row, revision: position.commit }], () => true);
  const message = messages.withHeader(1_000, stamp, event);
  const streams: Raw[] = [];
  const handler = (stream: Raw): void => {
    stream.write(messages.withHeader(1, stamp, messages.caughtUp));
    streams.push(stream);
    if (streams.length === watchers) send(streams, message).catch(console.error);
  };
  return { definition, handler };
}

/** Goes on until the process ends. */
async function beat(streams: readonly Raw[], message: Uint8Array): Promise<never> {
  for (;;) {
    const full = streams.filter((stream) => !stream.write(message));
    if (full.length === 0) await turn();
    else await Promise.all(full.map((stream) => once(stream, 'drain')));
  }
}

async function flood(streams: readonly Raw[], message: Uint8Array): Promise<never> {
  const fill = (stream: Raw): void => {
    while (stream.write(message));
  };
  for (const stream of streams) {
    stream.on('drain', () => fill(stream));
    fill(stream);
  }
  return new Promise(() => undefined);
}

const { definition, handler } =
  mode === 'watch' ? byWatches() : byPlainWrites(mode === 'beat' ? beat : flood);
const server = new Server({ 'grpc.enable_channelz': 0 });
server.addService({ watchBalances: definition }, { watchBalances: handler });
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`fan-out on 127.0.0.1:${port}\n`);
});
process.on('SIGTERM', () => process.exit());
