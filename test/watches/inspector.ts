/** Looks at every message of one client, and says what does not keep the promises of the protocol. */
import { comparePositions, type Position } from '../../src/eventstore/port.ts';
import { ResetReason, type WatchOptions } from '../../src/gen/tallyback/common/v1/watch.ts';
import type { Columns } from '../../src/projections/engine/read-model.ts';
import type { Kind } from './kinds.ts';
import type { About, Effect } from './shop.ts';
import type { Message, WatchClient } from './watch-client.ts';

/** An acknowledged command's effect on one kind of watch, and where in the log it is. */
export interface Known extends Effect {
  readonly position: Position;
}

export interface InspectorParts<C extends Columns, Changes, Row> {
  readonly kind: Kind<C, Changes, Row>;
  readonly client: WatchClient<Changes, Row>;
  readonly matches: (row: Row) => boolean;
  readonly surely: (about: About) => boolean;
  /** Grows as commands are acknowledged. */
  readonly known: readonly Known[];
  readonly decode: (token: string) => Position | undefined;
  /** Whether a generation that served before has come back. */
  readonly mayReturn: () => boolean;
  readonly violation: (what: string) => void;
}

const later = (a: Position, b: Position): boolean => comparePositions(a, b) > 0;

export class Inspector<C extends Columns, Changes, Row> {
  readonly #parts: InspectorParts<C, Changes, Row>;
  // Of the stream.
  #options: WatchOptions | undefined;
  #state: 'begin' | 'snapshot' | 'live' | 'reset' = 'begin';
  #sequence = 0n;
  #position: Position | undefined;
  #inSnapshot = new Set<string>();
  #shown: { readonly rows: ReadonlyMap<string, Row>; readonly size: number } | undefined;
  #isFirst = true;
  // Of the client's map, over streams.
  readonly #ages = new Map<string, bigint>();
  /** Of a ledger: the last of each account, now and as of the last resume token. */
  #last = new Map<string, bigint>();
  #lastAtToken = new Map<string, bigint>();
  /** Effects before this one have been looked at. */
  #seen = 0;
  readonly #waiting: Known[] = [];
  /** Where what the client has begins, if it began without a snapshot. */
  since: Position | undefined;
  messages = 0;

  constructor(parts: InspectorParts<C, Changes, Row>) {
    this.#parts = parts;
  }

  /** A stream begins. */
  begin(options: WatchOptions): void {
    this.#options = options;
    this.#state = 'begin';
    this.#sequence = 0n;
    this.#position = undefined;
    this.#isFirst = true;
    // What comes after the token is sent again.
    this.#last = new Map(this.#lastAtToken);
  }

  /** After the client has taken it. */
  message({ header, event }: Message<Changes>): void {
    this.messages++;
    if (!header || !event) return this.#no('a message without header or event');
    this.#next(header.sequence);
    this.#grammar(event);
    if (event.$case === 'changes') this.#changes(event.value);
    if (event.$case === 'snapshotCompleted') this.#completed(event.value.rowCount);
    this.#tokens(header.positionToken, header.resumeToken);
    if (event.$case === 'caughtUp') this.#caughtUp();
    this.#isFirst = false;
  }

  #no(what: string): void {
    this.#parts.violation(`${this.#parts.kind.name}: ${what}`);
  }

  #next(sequence: bigint): void {
    if (sequence !== this.#sequence + 1n) this.#no(`message ${sequence} came after ${this.#sequence}`);
    this.#sequence = sequence;
  }

  #grammar(event: NonNullable<Message<Changes>['event']>): void {
    const { client } = this.#parts;
    const from = this.#state;
    const is = event.$case;
    // May come between any two messages, and before the first.
    if (is === 'heartbeat') return;
    const withoutSnapshot = this.#options?.resumeToken !== '' || this.#options.changesOnly;
    if (is === 'snapshotStarted') {
      if (from !== 'reset' && (from !== 'begin' || withoutSnapshot)) this.#no(`a snapshot in ${from}`);
      this.#state = 'snapshot';
      this.#inSnapshot = new Set();
      this.#shown = { rows: client.shown, size: client.shown.size };
      if (client.generation === event.value.generation && from === 'reset' && !this.#parts.mayReturn())
        this.#no(`the same generation, ${client.generation}, after a Reset`);
      return;
    }
    if (is === 'snapshotCompleted') {
      if (from !== 'snapshot') this.#no(`SnapshotCompleted in ${from}`);
      this.#state = 'live';
      return;
    }
    if (from === 'snapshot') {
      if (is !== 'changes') this.#no(`${is} in a snapshot`);
      if (client.shown !== this.#shown?.rows || client.shown.size !== this.#shown.size)
        this.#no('a snapshot is shown before it is completed');
      return;
    }
    if (from === 'reset') this.#no(`${is} between Reset and snapshot`);
    if (from === 'begin' && !withoutSnapshot) this.#no(`${is} before a snapshot`);
    this.#state = is === 'reset' ? 'reset' : 'live';
    if (is !== 'reset') return;
    if (this.#options?.failOnReset) this.#no('a Reset although it was to fail instead');
    const isOld = event.value.reason === ResetReason.TOKEN_OUTDATED;
    if (isOld && (!this.#isFirst || this.#options?.resumeToken === ''))
      this.#no('an outdated token, and none was given');
  }

  #changes(changes: Changes): void {
    const { kind, matches } = this.#parts;
    const [rows, removals] = [kind.rows(changes), kind.removals(changes)];
    if (rows.length + removals.length === 0) this.#no('changes without any');
    if (this.#state === 'snapshot' && removals.length > 0) this.#no('a removal in a snapshot');
    for (const row of rows) {
      const key = kind.keyOf(row);
      if (!matches(row)) this.#no(`a row that does not match: ${key}`);
      if (this.#state === 'snapshot') {
        if (this.#inSnapshot.has(key)) this.#no(`${key} twice in a snapshot`);
        this.#inSnapshot.add(key);
      } else this.#changed(key, row);
    }
  }

  #changed(key: string, row: Row): void {
    const { kind } = this.#parts;
    const age = kind.age?.(row);
    if (age === undefined) return;
    const before = this.#ages.get(key);
    if (before !== undefined && age < before) this.#no(`${key} went back from ${before} to ${age}`);
    this.#ages.set(key, age);
    const account = kind.ledger?.(row);
    if (account === undefined) return;
    const last = this.#last.get(account);
    if (last !== undefined && age <= last) this.#no(`${account}: entry ${age} came after ${last}`);
    this.#last.set(account, age);
  }

  /** What was there before holds no more. */
  #completed(count: bigint): void {
    const { kind, client } = this.#parts;
    if (BigInt(this.#inSnapshot.size) !== count)
      this.#no(`${this.#inSnapshot.size} rows in a snapshot that claims ${count}`);
    if (client.shown.size !== this.#inSnapshot.size) this.#no('a snapshot shows other rows than it has');
    this.since = undefined;
    this.#ages.clear();
    this.#last.clear();
    for (const [key, row] of client.shown) {
      const age = kind.age?.(row);
      if (age === undefined) continue;
      this.#ages.set(key, age);
      const account = kind.ledger?.(row);
      if (account !== undefined && age > (this.#last.get(account) ?? -1n)) this.#last.set(account, age);
    }
  }

  #tokens(positionToken: string, resumeToken: string): void {
    const { client, kind } = this.#parts;
    if (this.#state === 'snapshot' || this.#state === 'reset') {
      if (positionToken !== '' || resumeToken !== '') this.#no(`a token in ${this.#state}`);
      return;
    }
    if (resumeToken !== '') this.#lastAtToken = new Map(this.#last);
    if (positionToken === '') return;
    const position = this.#parts.decode(positionToken);
    if (!position) return this.#no(`a token that is none: ${positionToken}`);
    const before = this.#position;
    if (before && later(before, position)) this.#no(`position ${position.commit} after ${before.commit}`);
    this.#position = position;
    if (this.#options?.changesOnly && client.generation === '') this.since ??= position;
    this.#effects(position, kind.name);
  }

  /** Everything up to a position that has been sent must be there. */
  #effects(position: Position, watch: string): void {
    const { known } = this.#parts;
    for (; this.#seen < known.length; this.#seen++) {
      const effect = known[this.#seen];
      if (effect?.watch === watch) this.#waiting.push(effect);
    }
    const open = this.#waiting.splice(0);
    for (const effect of open) {
      if (later(effect.position, position)) this.#waiting.push(effect);
      else if (!this.#isThere(effect))
        this.#no(
          `${effect.key} is not as of ${effect.age} (${effect.position.commit}) though all up to ${position.commit} is said to be sent`,
        );
    }
  }

  #isThere({ key, age, about, position }: Known): boolean {
    const { client, kind, surely } = this.#parts;
    if (this.since && !later(position, this.since)) return true;
    const row = client.shown.get(key);
    return row === undefined ? !surely(about) : (kind.age?.(row) ?? age) >= age;
  }

  #caughtUp(): void {
    const token = this.#options?.notCaughtUpBefore ?? '';
    const before = token === '' ? undefined : this.#parts.decode(token);
    if (!this.#position) this.#no('CaughtUp without a position');
    else if (before && later(before, this.#position))
      this.#no(`caught up at ${this.#position.commit}, not to be said before ${before.commit}`);
  }
}
