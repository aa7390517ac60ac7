/**
 * What changed lately in one read model, read once for all who watch it.
 *
 * While somebody watches, the feed takes the changes of every commit — from the writer, if that is in this process and the
 * feed is as far as the write began, else from the database — and keeps the last ones as segments that
 * join end to start: (after, through] with the rows changed in between, as they were then. A subscriber is a cursor:
 *
 *   behind      reads changes from the database, where what changed often meanwhile is one row: after a snapshot, a
 *               resumption, a flood of changes, or because the client is slow
 *     → following   once its cursor is within the segments. Whom a new segment concerns is found by the filters' index;
 *                   the others are as far as the feed is without doing anything
 *     → behind      when what it has not taken is not in the segments any more
 *
 * When a read model is folded anew, or put right, rows change whose positions do not rise. Nothing a subscriber was sent
 * holds from there on (its incarnation is another one): it must start again with a snapshot.
 *
 * A cursor may be inside a segment, or past one that is still being read: of that, a subscriber gets the rows that
 * changed after its cursor. The others it has, and as they were then they may be older than what it has.
 */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type { ChangeCursor, Progress, ReadModelReader } from '../../projections/engine/reading.ts';
import { checkpointName } from '../../projections/engine/storage.ts';
import type { Written } from '../../projections/engine/written.ts';
import type { ChangeEncoder } from './change-encoder.ts';
import type { WatchCounts } from './counts.ts';
import { FilterIndex } from './filter-index.ts';
import { Lag } from './lag.ts';
import { type Changed, keptRows, Segments } from './segments.ts';
import { type Feed, type FeedOptions, Subscriber } from './subscriber.ts';
import { type Changes, OtherIncarnation, type Subscription } from './watched.ts';

const pageRows = 1_024;
const retryMs = 1_000;
/** Rows read from the database for one subscriber at a time. */
const catchUpRows = 256;

export interface ChangeFeedParts {
  readonly reader: ReadModelReader;
  readonly progress: Progress;
  readonly head: () => Promise<Position>;
  readonly clock: () => Date;
  readonly lagMs: number;
  readonly counts: WatchCounts;
  readonly log: (line: string) => void;
}

export class ChangeFeed<C extends Columns> {
  readonly #model: ReadModel<C>;
  readonly #encoder: ChangeEncoder<C>;
  readonly #parts: ChangeFeedParts;
  readonly #lag: Lag;
  readonly #feed: Feed<C> = {
    take: (subscriber) => this.#take(subscriber),
    // Ten thousand who are silent are no reason to read ten thousand times.
    poke: (ms) => {
      if (this.#parts.clock().getTime() - this.#lookedAt >= ms) this.#look();
    },
    behindFor: () => this.#lag.behindFor,
    leave: (subscriber) => this.#leave(subscriber),
  };
  readonly #subscribers = new Set<Subscriber<C>>();
  readonly #index = new FilterIndex<C, Subscriber<C>>();
  /** Those that are woken by whatever happens. */
  readonly #behind = new Set<Subscriber<C>>();
  readonly #awaiting = new Set<Subscriber<C>>();
  /** How many have each scope. */
  readonly #scopes = new Map<string, number>();
  readonly #segments: Segments<C>;
  /** Of what the segments tell. */
  #incarnation: string | undefined;
  #reading = false;
  #again = false;
  #lookedAt = 0;
  #retry: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;

  constructor(model: ReadModel<C>, encoder: ChangeEncoder<C>, parts: ChangeFeedParts) {
    this.#model = model;
    this.#encoder = encoder;
    this.#parts = parts;
    this.#segments = new Segments(model);
    this.#lag = new Lag({
      head: parts.head,
      through: () => parts.progress.through(checkpointName(model)),
      clock: parts.clock,
      every: parts.lagMs,
      changed: () => this.#wake(this.#subscribers),
    });
  }

  subscribe(options: FeedOptions<C>): Subscription {
    const subscriber = new Subscriber(this.#feed, options);
    this.#enter(subscriber);
    return subscriber;
  }

  #enter(subscriber: Subscriber<C>): void {
    const { filter, scope, awaited } = subscriber.options;
    this.#subscribers.add(subscriber);
    this.#behind.add(subscriber);
    if (awaited) this.#awaiting.add(subscriber);
    this.#index.add(filter, subscriber);
    this.#scopes.set(scope, (this.#scopes.get(scope) ?? 0) + 1);
    if (this.#subscribers.size === 1) {
      const name = checkpointName(this.#model);
      this.#unlisten = this.#parts.progress.onAdvance(name, (written) => this.#advanced(written));
      this.#lag.start();
    }
    if (!this.#segments.tip) this.#look();
  }

  #leave(subscriber: Subscriber<C>): void {
    const { filter, scope } = subscriber.options;
    if (!this.#subscribers.delete(subscriber)) return;
    this.#behind.delete(subscriber);
    this.#awaiting.delete(subscriber);
    this.#index.delete(filter, subscriber);
    const others = (this.#scopes.get(scope) ?? 1) - 1;
    if (others > 0) this.#scopes.set(scope, others);
    else this.#scopes.delete(scope);
    if (this.#subscribers.size === 0) this.#rest();
  }

  /** Nobody watches: forget everything. */
  #rest(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    clearTimeout(this.#retry);
    this.#lag.stop();
    this.#segments.restart(undefined);
  }

  #take(subscriber: Subscriber<C>): Promise<Changes> | Changes {
    const { counts } = this.#parts;
    const kept = this.#kept(subscriber);
    if (!kept) {
      counts.fromDatabase++;
      return this.#catchUp(subscriber);
    }
    if (kept.events.length > 0) counts.fromMemory++;
    return kept;
  }

  /** What there is for it, if that is in memory. */
  #kept(subscriber: Subscriber<C>): Changes | undefined {
    if (subscriber.following) {
      if (this.#incarnation !== subscriber.options.from.incarnation)
        throw new OtherIncarnation(this.#model.name);
      const { missed } = subscriber;
      subscriber.missed = undefined;
      if (!missed) return { events: [], through: this.#farthest(subscriber) };
      const events = this.#recent(subscriber, missed);
      if (events) return { events, through: this.#farthest(subscriber) };
      this.#parts.counts.catchUps++;
      subscriber.following = false;
      subscriber.cursor = { position: missed, key: undefined };
      this.#behind.add(subscriber);
    }
    return this.#join(subscriber);
  }

  /** A follower is as far as the feed, or as the snapshot that it comes from. */
  #farthest({ cursor: { position } }: Subscriber<C>): Position {
    return this.#segments.tip ? later(this.#segments.tip, position) : position;
  }

  /** From the database's changes to the feed's, if its cursor is there. */
  #join(subscriber: Subscriber<C>): Changes | undefined {
    const { cursor, options } = subscriber;
    if (!this.#segments.tip || cursor.key !== undefined || this.#incarnation !== options.from.incarnation)
      return undefined;
    const isAhead = comparePositions(cursor.position, this.#segments.tip) >= 0;
    const events = isAhead ? [] : this.#recent(subscriber, cursor.position);
    if (!events) return undefined;
    subscriber.following = true;
    this.#behind.delete(subscriber);
    return { events, through: this.#farthest(subscriber) };
  }

  async #catchUp(subscriber: Subscriber<C>): Promise<Changes> {
    const { filter, sees, from } = subscriber.options;
    const { cursor } = subscriber;
    const page = await this.#parts.reader.changes(this.#model, filter, cursor, catchUpRows);
    if (page.incarnation !== from.incarnation) throw new OtherIncarnation(this.#model.name);
    subscriber.cursor = page.end ? { position: page.through, key: undefined } : page.cursor;
    return {
      events: this.#encoder.encode(page.rows, sees),
      ...(page.end ? { through: page.through } : { through: undefined, more: 'now' }),
    };
  }

  /** What matches and lies after a position, if all of that is in memory. */
  #recent(subscriber: Subscriber<C>, position: Position): readonly Uint8Array[] | undefined {
    const recent = this.#segments.since(position);
    if (!recent) return undefined;
    const { matches, options } = subscriber;
    const { sees, scope } = options;
    if ('rows' in recent) return this.#encoder.encode(recent.rows.filter(matches), sees);
    const { rows, encoded } = recent.segment;
    const known = encoded.get(scope);
    if (known) return known;
    const events = this.#encoder.encode(rows.filter(matches), sees);
    if ((this.#scopes.get(scope) ?? 0) > 1) encoded.set(scope, events);
    return events;
  }

  /** What this process has written itself need not be read: if it goes on where the segments end, they grow by it. */
  #advanced(written: readonly Written[] | undefined): void {
    let tip = this.#segments.tip;
    const fits = (one: Written): boolean => {
      const follows = tip !== undefined && comparePositions(one.after, tip) === 0;
      tip = one.through;
      return follows && one.incarnation === this.#incarnation;
    };
    if (this.#reading || !written?.every(fits)) {
      this.#look();
      return;
    }
    this.#lookedAt = this.#parts.clock().getTime();
    for (const { after, through, rows } of written) {
      this.#append({
        after,
        through,
        // The declaration of the read model that wrote them is the one of the feed.
        rows: rows.map(({ row }) => row as RowOf<C>),
        commits: rows.map(({ commit }) => commit),
      });
    }
    this.#wakeThoseWhoWait();
  }

  #look(): void {
    this.#again = true;
    if (!this.#reading) void this.#lookUntilDone();
  }

  async #lookUntilDone(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#again && this.#subscribers.size > 0) {
        this.#again = false;
        this.#lookedAt = this.#parts.clock().getTime();
        const tip = this.#segments.tip;
        await this.#read();
        if (this.#segments.tip !== tip) this.#wakeThoseWhoWait();
      }
    } catch (error) {
      this.#again = false;
      this.#parts.log(`changes of ${this.#model.name} cannot be read: ${String(error)}`);
      clearTimeout(this.#retry);
      if (this.#subscribers.size > 0) this.#retry = setTimeout(() => this.#look(), retryMs);
    } finally {
      this.#reading = false;
    }
  }

  #wake(subscribers: Iterable<Subscriber<C>>): void {
    for (const { options } of subscribers) options.wake();
  }

  #wakeThoseWhoWait(): void {
    this.#wake(this.#behind);
    const tip = this.#segments.tip;
    for (const subscriber of this.#awaiting) {
      const { awaited, wake } = subscriber.options;
      if (!tip || !awaited || comparePositions(tip, awaited) < 0) continue;
      this.#awaiting.delete(subscriber);
      wake();
    }
  }

  /** Reads on from the tip: one more segment, or, if that is too much to keep, none and a new tip. */
  async #read(): Promise<void> {
    const { reader, progress } = this.#parts;
    const after = this.#segments.tip ?? (await progress.through(checkpointName(this.#model)));
    const rows: RowOf<C>[] = [];
    const commits: bigint[] = [];
    let cursor: ChangeCursor = { position: after, key: undefined };
    for (;;) {
      const page = await reader.changes(this.#model, {}, cursor, pageRows);
      rows.push(...page.rows);
      commits.push(...page.commits);
      if (this.#subscribers.size === 0) return;
      if (page.incarnation !== this.#incarnation) {
        // The first look at it: what is to come is told from here on. Who has not noticed when the one before is back
        // (a rollback) has missed what came meanwhile.
        const { tip } = this.#segments;
        this.#segments.restart(page.through);
        this.#incarnation = page.incarnation;
        if (tip) this.#toDatabase(tip);
        return;
      }
      if (page.end) {
        if (comparePositions(page.through, after) > 0)
          this.#append({ after, through: page.through, rows, commits });
        if (!this.#segments.tip) this.#segments.restart(after);
        return;
      }
      if (rows.length > keptRows) {
        this.#segments.restart(await progress.through(checkpointName(this.#model)));
        this.#toDatabase(after);
        this.#again = true;
        return;
      }
      cursor = page.cursor;
    }
  }

  #append(changed: Changed<C>): void {
    const { after, through, rows, commits } = changed;
    this.#segments.append(changed);
    const concerned: Subscriber<C>[] = [];
    for (const [n, row] of rows.entries()) {
      const commit = commits[n] ?? through.commit;
      for (const candidates of this.#index.candidates(row)) {
        for (const subscriber of candidates) {
          const { following, missed, cursor, matches } = subscriber;
          if (!following || missed || commit <= cursor.position.commit || !matches(row)) continue;
          subscriber.missed = later(after, cursor.position);
          concerned.push(subscriber);
        }
      }
    }
    // Now that all rows are told: who is woken takes them at once.
    this.#wake(concerned);
  }

  /** What came after this is not in memory: followers will read it from the database. */
  #toDatabase(after: Position): void {
    for (const subscriber of this.#subscribers) {
      if (!subscriber.following) continue;
      subscriber.missed ??= later(after, subscriber.cursor.position);
      subscriber.options.wake();
    }
  }
}

const later = (a: Position, b: Position): Position => (comparePositions(a, b) > 0 ? a : b);
