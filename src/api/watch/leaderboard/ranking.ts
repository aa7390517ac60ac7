/**
 * The leaders of a board as a query answers them, read once for all who watch the same ones. What changed between two
 * answers is told by comparing them: so a place among the leaders needs no bookkeeping of its own, and a client that
 * is slow costs the answer it was last sent, whatever has happened since.
 */
import { comparePositions, type Position } from '../../../eventstore/port.ts';
import { RemovalReason } from '../../../gen/tallyback/common/v1/watch.ts';
import {
  LeaderboardRemoval,
  LeaderboardRow,
} from '../../../gen/tallyback/figures/v1/figures_query_service.ts';
import * as messages from '../messages.ts';
import type { Moment } from '../resume-token.ts';

/** The leaders at one moment. */
export class Ranking {
  readonly rows: readonly LeaderboardRow[];
  readonly through: Position;
  readonly incarnation: string;
  readonly #byKey: ReadonlyMap<string, LeaderboardRow>;
  /** Events that lead here, from the answers that were sent before. */
  readonly #changes = new WeakMap<Ranking, readonly Uint8Array[]>();

  constructor(rows: readonly LeaderboardRow[], { position, incarnation }: Moment) {
    this.rows = rows;
    this.through = position;
    this.incarnation = incarnation;
    this.#byKey = new Map(rows.map((row) => [keyOf(row), row]));
  }

  /** All of it, as an event; none if it is empty. The longest is well within what clients accept. */
  get events(): readonly Uint8Array[] {
    return this.#eventsOf(this.rows, []);
  }

  /** What takes a client from an earlier answer to this one: one event, or none. */
  since(before: Ranking): readonly Uint8Array[] {
    let known = this.#changes.get(before);
    if (!known) {
      const changed = this.rows.filter((row) => !isSame(row, before.#byKey.get(keyOf(row))));
      const gone = before.rows.filter((row) => !this.#byKey.has(keyOf(row)));
      this.#changes.set(before, (known = this.#eventsOf(changed, gone)));
    }
    return known;
  }

  #eventsOf(rows: readonly LeaderboardRow[], gone: readonly LeaderboardRow[]): readonly Uint8Array[] {
    if (rows.length + gone.length === 0) return [];
    const removals = gone.map(({ subject, currency }) =>
      LeaderboardRemoval.encode({ subject, currency, reason: RemovalReason.LEFT_FILTER }).finish(),
    );
    return [
      messages.changes(
        rows.map((row) => LeaderboardRow.encode(row).finish()),
        removals,
      ),
    ];
  }
}

const keyOf = ({ subject, currency }: LeaderboardRow): string => JSON.stringify([subject, currency]);

const isSame = (row: LeaderboardRow, other: LeaderboardRow | undefined): boolean =>
  row.rank === other?.rank && row.score === other.score;

/** One query, shared by those who want its answer at the same time. */
export class SharedRanking {
  readonly #query: () => Promise<Ranking>;
  #latest: Ranking | undefined;
  #reading: Promise<Ranking> | undefined;

  constructor(query: () => Promise<Ranking>) {
    this.#query = query;
  }

  /** An answer that was asked for after now. */
  async fresh(): Promise<Ranking> {
    // One under way may have seen what was before.
    await this.#reading?.catch(() => undefined);
    return this.#read();
  }

  /** An answer that everything up to there is in; if it is of another incarnation, the one of now. */
  async atLeast(moment: Moment): Promise<Ranking> {
    if (reaches(this.#latest, moment)) return this.#latest;
    const underWay = await this.#reading;
    return reaches(underWay, moment) ? underWay : this.#read();
  }

  #read(): Promise<Ranking> {
    this.#reading ??= this.#query()
      .then((ranking) => (this.#latest = ranking))
      .finally(() => (this.#reading = undefined));
    return this.#reading;
  }
}

const reaches = (ranking: Ranking | undefined, { position, incarnation }: Moment): ranking is Ranking =>
  ranking?.incarnation === incarnation && comparePositions(ranking.through, position) >= 0;
