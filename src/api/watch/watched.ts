/** What can be watched, as a watch needs it: rows of a table, a ranking, the log. */
import type { Position } from '../../eventstore/port.ts';
import type { Moment } from './resume-token.ts';
import type { WatchSettings } from './settings.ts';

/** What one client wants to see. */
export interface Watched {
  /** Where to follow from without a snapshot; undefined: a snapshot is wanted. Throws OtherIncarnation. */
  begin(settings: WatchSettings): Promise<Moment | undefined>;
  /** Waits until a snapshot may be read, and answers how to let the next one; absent: there may be any number. */
  readonly turn?: (signal: AbortSignal) => Promise<() => void>;
  /** All there is at one moment. What it holds is given back when the pages end, or the signal aborts. */
  snapshot(signal: AbortSignal): Promise<Snapshot>;
  /** What happens after that moment. */
  subscribe(options: SubscribeOptions): Subscription;
  /** The watch is over. */
  readonly end?: () => void;
}

export interface Snapshot {
  readonly through: Position;
  readonly incarnation: string;
  readonly pages: AsyncIterable<SnapshotPage>;
}

export interface SnapshotPage {
  readonly rowCount: number;
  readonly events: readonly Uint8Array[];
}

export interface SubscribeOptions {
  readonly from: Moment;
  /** Also wake when this is reached, although nothing that matches changed. */
  readonly awaited: Position | undefined;
  /** There may be something to take. */
  readonly wake: () => void;
}

export interface Subscription {
  /** What has changed since the last call, at once if it is known. Throws OtherIncarnation. */
  take(): Promise<Changes> | Changes;
  /** Has whatever is followed looked at although nobody reported any change, if it was not for so many milliseconds. */
  poke(ms: number): void;
  /** For how long what is followed has been behind the log, in milliseconds; undefined if it keeps up. */
  readonly behindFor: number | undefined;
  end(): void;
}

/** What there is to tell. */
export interface Changes {
  /** Events in order; none if nothing that matches changed. */
  readonly events: readonly Uint8Array[];
  /** Everything up to here is told with them; undefined where that is true of no position. */
  readonly through: Position | undefined;
  /** Absent: that is all that is known. `now`: take again; `soon`: it is being fetched, `wake` says when it is there. */
  readonly more?: 'now' | 'soon';
}

/** What a position speaks of is of another making: only a snapshot tells what is there. */
export class OtherIncarnation extends Error {
  override readonly name = 'OtherIncarnation';
}
