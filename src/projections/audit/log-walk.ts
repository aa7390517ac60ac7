/**
 * Through the log, in search of rows that are missing: what is new first (and its amounts), then all of it, again and
 * again, at leisure.
 */
import {
  comparePositions,
  type EventStore,
  logStart,
  type Position,
  type RecordedEvent,
} from '../../eventstore/port.ts';
import { decodeEvent, storedTypeName } from '../../domain/codec.ts';
import type { Key } from '../engine/read-model.ts';
import { keyText } from '../engine/row-key.ts';
import type { Generation } from '../engine/storage.ts';
import type { StreamModel } from './check-rows.ts';
import type { Inspector } from './inspector.ts';
import type { Ledgers } from './ledgers.ts';
import { logPart } from './log-part.ts';
import type { Rounds } from './rounds.ts';
import type { AuditStorage } from './storage.ts';

/** A table that can be checked, and where it stood when it was looked at last. */
export interface Watched {
  readonly model: StreamModel;
  readonly generation: Generation;
  readonly through: Position;
}

export interface LogWalkOptions {
  readonly store: Pick<EventStore, 'subscribe'>;
  readonly storage: Pick<AuditStorage, 'missing' | 'look'>;
  readonly inspector: Inspector;
  readonly ledgers: Ledgers;
  readonly rounds: Rounds;
  readonly spent: (events: number) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Events read at a time: about a page of the store. */
const partSize = 2_000;
/** Missing rows that are looked into at a time: if there are more, they are found later. */
const mostMissing = 100;

/** The walk at leisure takes a part in one of so many steps: a part costs as much as some hundred rows. */
const leisure = 4;

export class LogWalk {
  readonly #options: LogWalkOptions;
  #steps = 0;
  #walked: Position;

  constructor(options: LogWalkOptions, walked: Position) {
    this.#options = options;
    this.#walked = walked;
  }

  /** Where the walk at leisure is. */
  get walked(): Position {
    return this.#walked;
  }

  /** Takes the next part. `through`: how far the balances are. */
  async step(through: Position, watched: readonly Watched[]): Promise<void> {
    const { ledgers, rounds } = this.#options;
    if (comparePositions(ledgers.position, through) < 0) {
      await this.takeNew(through, watched);
    } else if (this.#steps++ % leisure === 0 && rounds.due('log')) {
      const part = await this.#read(this.#walked, ledgers.position);
      await this.#findMissing(part.events, watched);
      const round = comparePositions(part.through, ledgers.position) >= 0;
      this.#walked = round ? logStart : part.through;
      if (round) rounds.end('log');
    }
  }

  /** The next part of what is new. */
  async takeNew(through: Position, watched: readonly Watched[]): Promise<void> {
    const { ledgers } = this.#options;
    const part = await this.#read(ledgers.position, through);
    ledgers.take(part.events, part.through);
    await this.#findMissing(part.events, watched);
  }

  async #read(
    after: Position,
    upTo: Position,
  ): Promise<{ readonly events: readonly RecordedEvent[]; readonly through: Position }> {
    const { store, signal, spent } = this.#options;
    const part = await logPart(store, after, upTo, partSize, signal);
    await spent(part.events.length);
    return part;
  }

  async #findMissing(events: readonly RecordedEvent[], watched: readonly Watched[]): Promise<void> {
    const { storage, inspector } = this.#options;
    for (const { model, generation, through } of watched) {
      const keys = keysOf(model, events, through);
      if (keys.length === 0) continue;
      const missing = (await storage.missing(model, generation, keys)).slice(0, mostMissing);
      if (missing.length === 0) continue;
      const look = await storage.look(model, generation, { keys: missing });
      if (look) await inspector.inspect(model, generation, missing, look);
    }
  }
}

/** Of rows that events have touched which the table has heard of. What cannot be read is parked. */
function keysOf(model: StreamModel, events: readonly RecordedEvent[], through: Position): readonly Key[] {
  const handled = new Set(model.handles.map(storedTypeName));
  const keys = new Map<string, Key>();
  for (const stored of events) {
    const { stream, revision, position } = stored;
    if (!handled.has(stored.type) || comparePositions(position, through) > 0) continue;
    try {
      for (const key of model.keys({ event: decodeEvent(stored), stream, revision, position }))
        keys.set(keyText(key), key);
    } catch {
      continue;
    }
  }
  return [...keys.values()];
}
