/** One who follows a change feed: what it wants to see, and how far it is. */
import type { Position } from '../../eventstore/port.ts';
import type { Columns, RowOf } from '../../projections/engine/read-model.ts';
import type { ChangeCursor, Filter } from '../../projections/engine/reading.ts';
import type { Sees } from './change-encoder.ts';
import { matcher } from './matches.ts';
import type { Changes, SubscribeOptions, Subscription } from './watched.ts';

export interface FeedOptions<C extends Columns> extends SubscribeOptions {
  /** On columns that never change in a row. */
  readonly filter: Filter<C>;
  /** Which of these rows the client is to see now. */
  readonly sees: Sees<C>;
  /** Names the filter and what is seen: those with the same name get the same bytes. */
  readonly scope: string;
}

/** What subscribers need of their feed. */
export interface Feed<C extends Columns> {
  take(subscriber: Subscriber<C>): Promise<Changes> | Changes;
  poke(ms: number): void;
  behindFor(): number | undefined;
  leave(subscriber: Subscriber<C>): void;
}

export class Subscriber<C extends Columns> implements Subscription {
  readonly #feed: Feed<C>;
  readonly options: FeedOptions<C>;
  readonly matches: (row: RowOf<C>) => boolean;
  cursor: ChangeCursor;
  following = false;
  /** While following: the first that concerns it and was not taken comes after this. */
  missed: Position | undefined;

  constructor(feed: Feed<C>, options: FeedOptions<C>) {
    this.#feed = feed;
    this.options = options;
    this.matches = matcher<C>(options.filter);
    this.cursor = { position: options.from.position, key: undefined };
  }

  get behindFor(): number | undefined {
    return this.#feed.behindFor();
  }

  take(): Promise<Changes> | Changes {
    return this.#feed.take(this);
  }

  poke(ms: number): void {
    this.#feed.poke(ms);
  }

  end(): void {
    this.#feed.leave(this);
  }
}
