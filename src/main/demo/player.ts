/** Sends acts at a rate of its own, whether or not answers keep up (open loop), and counts what becomes of them. */
import type { Connection } from '../client/connect.ts';
import { type IngestRecord, IngestSession, type IngestVerdict } from '../client/ingest-session.ts';
import { RpcError } from '../client/unary.ts';
import { type Act, callUnary, type UnaryCommand } from './acts.ts';
import type { BalanceWatch } from './balance-watch.ts';
import type { Metrics } from './metrics.ts';

export interface PlayerOptions {
  readonly connection: Connection;
  readonly metrics: Metrics;
  readonly watch: BalanceWatch;
  readonly signal: AbortSignal;
}

export interface Player {
  play(act: Act): void;
  /** Commands without an answer. */
  readonly waiting: number;
  /** Resolves when everything has its answer. */
  answered(): Promise<void>;
  close(): Promise<void>;
}

/** Beyond that an open loop would only fill memory; a server that is so far behind has shown enough. */
const mostWaiting = 20_000;

export function player({ connection, metrics, watch, signal }: PlayerOptions): Player {
  // By record: one that is sent twice on purpose is timed from the second sending.
  const sentAt = new Map<IngestRecord, number>();
  const calls = new Set<Promise<void>>();

  const onVerdict = (record: IngestRecord, verdict: IngestVerdict): void => {
    const ms = performance.now() - (sentAt.get(record) ?? performance.now());
    sentAt.delete(record);
    if (verdict.$case === 'refused') metrics.refusedWith(verdict.value.reason, ms);
    else metrics.answered(verdict.$case, ms);
    if (verdict.$case !== 'accepted' && record.$case === 'trackOrder')
      watch.forget(record.value.member, record.value.currency);
  };
  const session = new IngestSession({ client: connection.ingest, window: mostWaiting, onVerdict, signal });

  const call = async (command: UnaryCommand): Promise<void> => {
    const since = performance.now();
    try {
      const receipt = await callUnary(connection, command, signal);
      const how = receipt?.duplicate || receipt?.unchanged ? 'duplicate' : 'accepted';
      metrics.answered(how, performance.now() - since);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof RpcError)) throw error;
      const { reason, codeName } = error.failure;
      metrics.refusedWith(reason || codeName, performance.now() - since);
    }
  };
  let failure: { readonly reason: unknown } | undefined;
  const throwFailure = (): void => {
    // Whatever was thrown, for whoever called.
    if (failure) throw failure.reason instanceof Error ? failure.reason : new Error(String(failure.reason));
  };
  return {
    play(act) {
      throwFailure();
      if (session.unanswered >= mostWaiting) return;
      metrics.sent += 1;
      if (act.via === 'ingest') {
        expectEffect(watch, act.record);
        sentAt.set(act.record, performance.now());
        session.send(act.record);
        return;
      }
      const done = call(act.command)
        .catch((reason: unknown) => void (failure = { reason }))
        .then(() => void calls.delete(done));
      calls.add(done);
    },
    get waiting() {
      return session.unanswered + calls.size;
    },
    async answered() {
      await session.answered();
      await Promise.all(calls);
      throwFailure();
    },
    close: () => session.close(),
  };
}

/** An order's first report, once accepted, gives its member an entry: that shows on the watch. */
function expectEffect(watch: BalanceWatch, record: IngestRecord): void {
  if (record.$case !== 'trackOrder') return;
  const { member, currency, sourceVersion, occurredAt } = record.value;
  if (member !== '' && sourceVersion === 1n && occurredAt) watch.expect(member, currency, occurredAt);
}
