/**
 * The continuous audit while this instance leads it: pass after pass, each about a second's worth of work.
 *
 *   every table    rows that changed lately, then the next ones in the order of their keys
 *   the log        amounts and missing rows: see LogWalk
 *   totals         sums over the table of balances against the sums of all amounts, at the same position
 *   then           the state is kept, together with the checkpoint
 */
import { comparePositions, type EventStore, logStart, type Position } from '../../eventstore/port.ts';
import { balance } from '../balance/balance.ts';
import type { Catalog } from '../engine/catalog.ts';
import { Fenced } from '../engine/errors.ts';
import type { Generation, Held } from '../engine/storage.ts';
import type { Timing } from '../engine/timing.ts';
import { isStreamModel, type StreamModel } from './check-rows.ts';
import { keyTexts } from './difference.ts';
import { Inspector } from './inspector.ts';
import { Ledgers } from './ledgers.ts';
import { LogWalk, type Watched } from './log-walk.ts';
import { Pace } from './pace.ts';
import { Rounds } from './rounds.ts';
import type { AuditState, AuditStorage, TableState } from './storage.ts';

/** Milliseconds. */
export interface AuditDelays {
  /** A pass takes at least that long. */
  readonly pass: number;
  /** Rounds through a table or the log begin no more often. */
  readonly round: number;
  /** Sums over all balances are made no more often, and the less often the longer they take. */
  readonly totals: number;
  /** Before the second look at what differs. */
  readonly confirm: number;
  /** Longest pause between two attempts at a failing database. */
  readonly longestRetry: number;
}

export interface SessionOptions {
  readonly store: Pick<EventStore, 'readStream' | 'subscribe'>;
  readonly storage: AuditStorage;
  readonly catalog: Catalog;
  readonly rowsPerSecond: number;
  readonly timing: Timing;
  readonly delays: AuditDelays;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
  readonly spent: (rows: number, events: number) => void;
  /** A round through all tables and the log is done. */
  readonly roundEnded: () => void;
}

/** Events cost less than rows. */
const eventsPerRow = 10;
/** Summing takes no more than this share of the time. */
const totalsShare = 0.01;

const nothingSeen: TableState = { after: undefined, seen: String(logStart.commit) };

export class AuditSession {
  readonly #options: SessionOptions;
  readonly #held: Held;
  readonly #inspector: Inspector;
  readonly #ledgers: Ledgers;
  readonly #walk: LogWalk;
  readonly #rounds: Rounds;
  readonly #tables: Map<string, TableState>;
  #imbalances: Readonly<Record<string, string>>;
  #saved: Position;
  #totalsAt = -Infinity;

  /** A state of another position than the checkpoint's is of another log: all of it is begun again. */
  constructor(options: SessionOptions, held: Held, stored: AuditState | undefined) {
    const { timing, rowsPerSecond, delays, signal, spent } = options;
    const state = stored && comparePositions(stored.position, held.position) === 0 ? stored : undefined;
    const pace = new Pace({ rowsPerSecond, eventsPerSecond: eventsPerRow * rowsPerSecond }, timing);
    this.#options = options;
    this.#held = held;
    this.#saved = held.position;
    this.#tables = new Map(Object.entries(state?.tables ?? {}));
    this.#imbalances = state?.imbalances ?? {};
    this.#rounds = new Rounds(delays.round, () => timing.monotonic());
    this.#ledgers = Ledgers.from(state?.position ?? logStart, state?.ledgers ?? {});
    this.#inspector = new Inspector({ ...options, pace, confirmAfter: delays.confirm });
    this.#walk = new LogWalk(
      {
        ...options,
        inspector: this.#inspector,
        ledgers: this.#ledgers,
        rounds: this.#rounds,
        spent: async (events) => {
          spent(0, events);
          await pace.spend(0, events, signal);
        },
      },
      state?.walked ?? logStart,
    );
  }

  /** Throws Fenced when somebody else has claimed the checkpoint. */
  async pass(): Promise<void> {
    const { catalog, timing, delays, signal, storage } = this.#options;
    const startedAt = timing.monotonic();
    await catalog.refresh();
    const served = catalog
      .folded()
      .flatMap(([model, generation]): (readonly [StreamModel, Generation])[] =>
        generation.state === 'serving' && isStreamModel(model) ? [[model, generation]] : [],
      );
    const watched: Watched[] = [];
    for (const [model, generation] of served) {
      const through = await this.#table(model, generation, served.length);
      if (through) watched.push({ model, generation, through });
    }
    const balances = watched.find(({ model }) => model.name === balance.name);
    if (balances) {
      await this.#walk.step(balances.through, watched);
      if (comparePositions(this.#ledgers.position, balances.through) >= 0)
        await this.#totals(balances, watched);
    }
    const state: AuditState = {
      position: this.#ledgers.position,
      ledgers: this.#ledgers.texts(),
      tables: Object.fromEntries(this.#tables),
      walked: this.#walk.walked,
      imbalances: this.#imbalances,
    };
    if (!(await storage.save(this.#held, this.#saved, state)))
      throw new Fenced('the audit is done by somebody else');
    this.#saved = state.position;
    if (this.#rounds.allEnded(['log', ...served.map(([{ name }]) => name)])) this.#options.roundEnded();
    await timing.sleep(Math.max(0, startedAt + delays.pass - timing.monotonic()), signal);
  }

  /** Answers where the table stood; undefined if it does not serve any more. */
  async #table(model: StreamModel, generation: Generation, tables: number): Promise<Position | undefined> {
    const { storage, rowsPerSecond } = this.#options;
    const { name } = model;
    const limit = Math.max(1, Math.ceil(rowsPerSecond / tables));
    const { after, seen } = this.#tables.get(name) ?? nothingSeen;
    const changed = await storage.look(model, generation, { changedAfter: BigInt(seen), limit });
    if (!changed) return undefined;
    const { through } = changed;
    const keys = this.#inspector.affordable(generation, changed.rows);
    await this.#inspector.inspect(model, generation, keys, changed);
    // If there were more, the walk through the table comes to them.
    const now: TableState = { after, seen: String(through.commit) };
    this.#tables.set(name, now);
    if (!this.#rounds.due(name)) return through;
    if (after === undefined) await this.#inspector.recheck(model, generation);
    const page = await storage.look(model, generation, { after, limit });
    if (!page) return undefined;
    await this.#inspector.inspect(
      model,
      generation,
      page.rows.map(({ key }) => key),
      page,
    );
    const last = page.rows.length === limit ? page.rows.at(-1) : undefined;
    if (!last) this.#rounds.end(name);
    this.#tables.set(name, { ...now, after: last && keyTexts(last.key) });
    return through;
  }

  async #totals({ generation }: Watched, watched: readonly Watched[]): Promise<void> {
    const { storage, timing, delays } = this.#options;
    if (timing.monotonic() < this.#totalsAt) return;
    for (let look = 1; ; look++) {
      const startedAt = timing.monotonic();
      const totals = await storage.totals(generation);
      const took = timing.monotonic() - startedAt;
      this.#totalsAt = startedAt + Math.max(delays.totals, took / totalsShare);
      if (!totals) return;
      while (comparePositions(this.#ledgers.position, totals.through) < 0)
        await this.#walk.takeNew(totals.through, watched);
      // After a rollback the table can be behind for a while.
      if (comparePositions(this.#ledgers.position, totals.through) > 0) return;
      const compared = this.#ledgers.compare(totals.sums);
      const differs = compared.some(({ found }) => found.length > 0);
      // What is parked is missing in the table, and rightly so.
      if (differs && !totals.holds.none) {
        this.#imbalances = {};
        return;
      }
      if (differs && look === 1) {
        await this.#inspector.pause();
        continue;
      }
      for (const { currency, found } of compared) await this.#inspector.note(generation, [currency], found);
      this.#imbalances = Object.fromEntries(
        compared.map(({ currency, imbalance }) => [currency, String(imbalance)]),
      );
      return;
    }
  }
}
