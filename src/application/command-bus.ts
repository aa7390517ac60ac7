/**
 * Carries out commands. Every stream with work has a mailbox: its commands are taken in order, as many as wait
 * at once, decided one on another and appended together, so a hot stream costs one append and no read for a
 * whole batch.
 *
 * A batch's way:  load (from the cache) → decide → append
 *   appended     → outcomes; the stream goes (back) into the cache
 *   conflict     → somebody else wrote: reload, decide again
 *   id in use    → the request id wrote elsewhere: that request gets `request-id-reused`, the others go on
 *   too large    → the batch in halves; a request that is too large by itself is refused, as an event like any
 *                  other refusal
 *   unavailable  → unknown whether stored: reload and look (ids are derived from the request, the expected
 *                  revision is exact, so nothing can be stored twice); after `patienceMs`, CommandUnavailable
 *                  for the batch and all that waits behind it, so that order within the stream is kept
 */
import { LRUCache } from 'lru-cache';
import { AppendTooLarge, type EventStore, EventStoreUnavailable, type Position } from '../eventstore/port.ts';
import { streamOf } from './aggregates.ts';
import { type CommandBus, type CommandOutcome, type CommandRequest, CommandUnavailable } from './commands.ts';
import { type DecidedBatch, decideBatch, type Draft } from './decide-batch.ts';
import { loadStream } from './load-stream.ts';
import type { LoadedStream } from './loaded-stream.ts';
import type { Snapshots } from './snapshots.ts';
import { backoff, type Timing } from './timing.ts';

export interface CommandBusOptions {
  readonly store: EventStore;
  readonly timing: Timing;
  /** Where long streams are loaded from and kept; without them every stream is read whole. */
  readonly snapshots?: Snapshots;
  /** About how much memory cached aggregates may take, in bytes; default 256 MiB. */
  readonly cacheBytes?: number;
  /**
   * For how long a store that fails is asked again, in milliseconds; default 10,000. An attempt under way then is
   * not cut off: the store bounds it itself.
   */
  readonly patienceMs?: number;
  /** Commands without an outcome at once, beyond which new ones are turned away; default 100,000. */
  readonly maxOpen?: number;
}

interface Waiting {
  readonly request: CommandRequest;
  readonly resolve: (outcome: CommandOutcome) => void;
  readonly reject: (error: unknown) => void;
}

const batchSize = 128;

export function commandBus(options: CommandBusOptions): CommandBus {
  const { store, timing, snapshots, patienceMs = 10_000, maxOpen = 100_000 } = options;
  const cache = new LRUCache<string, LoadedStream>({
    maxSize: options.cacheBytes ?? 256 * 1024 * 1024,
    sizeCalculation: (loaded) => loaded.size,
  });
  const mailboxes = new Map<string, Waiting[]>();
  let openCount = 0;

  async function drain(stream: string, mailbox: Waiting[]): Promise<void> {
    while (mailbox.length > 0) {
      const batch = mailbox.splice(0, batchSize);
      try {
        await carryOut(stream, batch);
        // Only between batches is the state what the log holds.
        const loaded = cache.peek(stream);
        if (loaded) await snapshots?.keep(stream, loaded);
      } catch (error) {
        // What waits behind must not overtake what may yet be stored.
        for (const waiting of [...batch, ...mailbox.splice(0)]) waiting.reject(error);
      }
    }
    mailboxes.delete(stream);
  }

  async function carryOut(stream: string, batch: readonly Waiting[], tooLarge = false): Promise<void> {
    const giveUpAt = timing.monotonic() + patienceMs;
    let open = batch;
    for (let attempt = 0; open.length > 0; attempt++) {
      try {
        open = await attemptOnce(stream, open, tooLarge);
      } catch (error) {
        cache.delete(stream);
        if (error instanceof AppendTooLarge && !tooLarge) {
          if (open.length === 1) return carryOut(stream, open, true);
          const half = Math.ceil(open.length / 2);
          await carryOut(stream, open.slice(0, half));
          return carryOut(stream, open.slice(half));
        }
        if (!(error instanceof EventStoreUnavailable)) throw error;
        if (timing.monotonic() > giveUpAt) {
          throw new CommandUnavailable('the event store does not answer', { cause: error });
        }
        await timing.sleep(backoff(timing, attempt, 20, 1_000));
      }
    }
  }

  /** Settles what it can; returns what must be tried again with fresh state. */
  async function attemptOnce(
    stream: string,
    batch: readonly Waiting[],
    tooLarge: boolean,
  ): Promise<readonly Waiting[]> {
    const kind = batch[0]?.request.aggregate;
    if (kind === undefined) return [];
    const cached = cache.get(stream);
    const loaded = cached ?? (await loadStream(store, kind, stream, snapshots));
    // Out of the cache while its state runs ahead of the log.
    cache.delete(stream);

    const requests = batch.map((waiting) => waiting.request);
    const decided = decideBatch(loaded, requests, tooLarge);
    const bug = decided.drafts.findIndex((draft) => draft.kind === 'failed');
    if (bug >= 0) {
      const draft = decided.drafts[bug];
      batch[bug]?.reject(draft?.kind === 'failed' ? draft.error : undefined);
      return batch.filter((_, index) => index !== bug);
    }
    if (decided.events.length > 0) {
      const result = await store.append(stream, loaded.revision, decided.events);
      if (result.kind === 'conflict') return batch;
      if (result.kind === 'id-in-use') return settleReused(stream, batch, decided, result);
      rememberAll(loaded, requests, decided, result);
    } else if (cached && decided.drafts.some(({ kind }) => kind === 'appending')) {
      // What appends nothing meets no conflict: whether the stream still is as we remember it has to be looked up.
      if (await hasGrown(store, stream, loaded.revision)) return batch;
    }
    cache.set(stream, loaded);
    settle(loaded, batch, decided.drafts);
    return batch.slice(decided.drafts.length);
  }

  function settleReused(
    stream: string,
    batch: readonly Waiting[],
    decided: DecidedBatch,
    inUse: { readonly id: string; readonly stream: string },
  ): readonly Waiting[] {
    // In this very stream: another process carried the request out meanwhile. A reload shows its outcome.
    if (inUse.stream === stream) return batch;
    const event = decided.events.findIndex(({ id }) => id === inUse.id);
    const owner = decided.drafts.findIndex(
      (d) => d.kind === 'appending' && event >= d.first && event < d.first + d.count,
    );
    batch[owner]?.resolve({ kind: 'request-id-reused' });
    return batch.filter((_, index) => index !== owner);
  }

  return {
    execute(request) {
      if (openCount >= maxOpen) {
        return Promise.reject(new CommandUnavailable('too many commands are waiting'));
      }
      const stream = streamOf(request);
      return new Promise((resolve, reject) => {
        openCount++;
        let open = true;
        const close = (): void => {
          if (open) openCount--;
          open = false;
        };
        const waiting: Waiting = {
          request,
          resolve(outcome) {
            close();
            resolve(outcome);
          },
          reject(error) {
            close();
            reject(error instanceof Error ? error : new Error(String(error)));
          },
        };
        const mailbox = mailboxes.get(stream);
        if (mailbox) {
          mailbox.push(waiting);
          return;
        }
        const fresh = [waiting];
        mailboxes.set(stream, fresh);
        // Not before the caller's turn ends: what it sends to one stream goes together.
        queueMicrotask(() => void drain(stream, fresh));
      });
    },
  };
}

async function hasGrown(store: EventStore, stream: string, revision: number): Promise<boolean> {
  for await (const _ of store.readStream(stream, { from: revision + 1 })) return true;
  return false;
}

function rememberAll(
  loaded: LoadedStream,
  requests: readonly CommandRequest[],
  decided: DecidedBatch,
  end: { readonly revision: number; readonly position: Position },
): void {
  const before = end.revision - decided.events.length;
  for (const [index, draft] of decided.drafts.entries()) {
    const request = requests[index];
    if (draft.kind !== 'appending' || !request) continue;
    for (let n = draft.first; n < draft.first + draft.count; n++) {
      const [encoded, event] = [decided.events[n], decided.decoded[n]];
      if (!encoded || !event) continue;
      // The position of the whole append, the only one a store tells: never before the event's own.
      const { id, data } = encoded;
      const stored = { id, data, revision: before + 1 + n, position: end.position };
      loaded.rememberRequest(request.requestId, request.contentHash, stored, event);
    }
  }
}

function settle(loaded: LoadedStream, batch: readonly Waiting[], drafts: readonly Draft[]): void {
  const outcomes: CommandOutcome[] = [];
  for (const [index, draft] of drafts.entries()) {
    const waiting = batch[index];
    if (!waiting) continue;
    const outcome = outcomeOf(loaded, waiting.request, draft, outcomes);
    outcomes.push(outcome);
    waiting.resolve(outcome);
  }
}

function outcomeOf(
  loaded: LoadedStream,
  request: CommandRequest,
  draft: Draft,
  earlier: readonly CommandOutcome[],
): CommandOutcome {
  const stored = loaded.requests.get(request.requestId);
  switch (draft.kind) {
    case 'settled':
      return draft.outcome;
    case 'appending': {
      if (!stored) {
        const { revision, position } = loaded;
        return { kind: 'accepted', revision, position, duplicate: false, unchanged: true };
      }
      const { revision, position, refusal } = stored;
      return refusal
        ? { kind: 'refused', refusal, position, duplicate: false }
        : { kind: 'accepted', revision, position, duplicate: false, unchanged: false };
    }
    case 'repeats': {
      const first = earlier[draft.of];
      return !first || first.kind === 'request-id-reused'
        ? { kind: 'request-id-reused' }
        : { ...first, duplicate: true };
    }
    case 'failed':
      throw draft.error;
  }
}
