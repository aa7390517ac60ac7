/** Judges rows: what differs is looked at a second time before it is said, and what is right again is noted. */
import { LRUCache } from 'lru-cache';
import type { EventStore } from '../../eventstore/port.ts';
import type { Key } from '../engine/read-model.ts';
import { type Generation, leaseName } from '../engine/storage.ts';
import type { Timing } from '../engine/timing.ts';
import { checkRows, type CheckedRow, type StreamModel } from './check-rows.ts';
import { type Difference, keyTexts } from './difference.ts';
import { keyFrom } from './key-from.ts';
import type { Pace } from './pace.ts';
import type { PositionedRow } from './refold.ts';
import type { AuditStorage, Look } from './storage.ts';

export interface InspectorOptions {
  readonly store: Pick<EventStore, 'readStream'>;
  readonly storage: AuditStorage;
  readonly timing: Timing;
  readonly pace: Pace;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
  /** Milliseconds until the second look. */
  readonly confirmAfter: number;
  readonly spent: (rows: number, events: number) => void;
}

/** Of the time, at most, goes into one row that changes all the time and is made of many events. */
const shareOfOne = 0.1;
/** Events that are many. */
const many = 500;

/** Differences that are said in the log at a time. */
const mostSaid = 5;

export class Inspector {
  readonly #options: InspectorOptions;
  /** By generation, rows with findings that are not mended. */
  readonly #open = new Map<string, Set<string>>();
  /** Rows that were costly, and until when that was enough. */
  readonly #resting = new LRUCache<string, number>({ max: 10_000 });

  constructor(options: InspectorOptions) {
    this.#options = options;
  }

  /** Rows without those that have had their share lately. */
  affordable(generation: Generation, rows: readonly PositionedRow[]): readonly Key[] {
    const now = this.#options.timing.monotonic();
    const rests = (key: Key): boolean =>
      (this.#resting.get(leaseName(generation) + nameOf(key)) ?? -Infinity) > now;
    return rows.map(({ key }) => key).filter((key) => !rests(key));
  }

  /** The rows of these keys, which (or whose absence) `look` shows. */
  async inspect(model: StreamModel, generation: Generation, keys: readonly Key[], look: Look): Promise<void> {
    if (keys.length === 0) return;
    const open = await this.#openIn(generation);
    const checked = await this.#check(model, keys, look);
    for (const { key, found, events } of checked) {
      if (events >= many) this.#rest(generation, key, events);
      if (found.length === 0 && open.has(nameOf(key))) await this.note(generation, keyTexts(key), []);
    }
    const suspects = checked.filter(({ found }) => found.length > 0).map(({ key }) => key);
    if (suspects.length === 0) return;
    await this.pause();
    const second = await this.#options.storage.look(model, generation, { keys: suspects });
    if (!second) return;
    for (const { key, found } of await this.#check(model, suspects, second)) {
      if (found.length > 0) await this.note(generation, keyTexts(key), found);
    }
  }

  /** Looks again at all rows with findings: some may be right by now. */
  async recheck(model: StreamModel, generation: Generation): Promise<void> {
    const open = await this.#options.storage.open(generation);
    this.#open.set(leaseName(generation), new Set(open.map((texts) => JSON.stringify(texts))));
    const keys = open
      .filter((texts) => texts.length === model.table.key.length)
      .map((texts) => keyFrom(model, texts));
    if (keys.length === 0) return;
    const look = await this.#options.storage.look(model, generation, { keys });
    if (look) await this.inspect(model, generation, keys, look);
  }

  /** Notes what is confirmed; an empty list: it is right. */
  async note(generation: Generation, key: readonly string[], found: readonly Difference[]): Promise<void> {
    const { storage, log } = this.#options;
    const fresh = await storage.note(generation, key, found);
    const open = await this.#openIn(generation);
    if (found.length > 0) open.add(JSON.stringify(key));
    else open.delete(JSON.stringify(key));
    if (fresh === 0) return;
    for (const { column, stored, right } of found.slice(0, mostSaid)) {
      log(
        `AUDIT: ${generation.model} ${JSON.stringify(key)} ${column} is ${stored ?? 'absent'}, the log says ${right ?? 'absent'}`,
      );
    }
  }

  /** Before a second look. */
  pause(): Promise<void> {
    const { timing, confirmAfter, signal } = this.#options;
    return timing.sleep(confirmAfter, signal);
  }

  #rest(generation: Generation, key: Key, events: number): void {
    const { timing, pace } = this.#options;
    const until = timing.monotonic() + pace.cost(1, events) / shareOfOne;
    this.#resting.set(leaseName(generation) + nameOf(key), until);
  }

  #check(model: StreamModel, keys: readonly Key[], look: Look): Promise<readonly CheckedRow[]> {
    const { store, signal, pace, spent } = this.#options;
    return checkRows(model, keys, look, {
      store,
      signal,
      spent: async (rows, events) => {
        spent(rows, events);
        await pace.spend(rows, events, signal);
      },
    });
  }

  async #openIn(generation: Generation): Promise<Set<string>> {
    const name = leaseName(generation);
    const known = this.#open.get(name);
    if (known) return known;
    const open = await this.#options.storage.open(generation);
    const made = new Set(open.map((texts) => JSON.stringify(texts)));
    this.#open.set(name, made);
    return made;
  }
}

const nameOf = (key: Key): string => JSON.stringify(keyTexts(key));
