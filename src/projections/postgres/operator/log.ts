/** Parked events as the log has them; what was read once is not read again. */
import { type EventStore, LogDamaged, type RecordedEvent } from '../../../eventstore/port.ts';
import type { ParkedEvent } from '../../engine/storage.ts';

type Id = Pick<RecordedEvent, 'stream' | 'revision'>;

const idOf = ({ stream, revision }: Id): string => `${revision} ${stream}`;

export class ParkedLog {
  readonly #store: Pick<EventStore, 'readStream'>;
  readonly #known = new Map<string, RecordedEvent>();

  constructor(store: Pick<EventStore, 'readStream'>) {
    this.#store = store;
  }

  /** In the same order, at the positions at which they were parked. Throws LogDamaged, and what the store says. */
  async read(parked: readonly ParkedEvent[]): Promise<readonly RecordedEvent[]> {
    const missing = new Map<string, { readonly first: number; readonly last: number }>();
    for (const event of parked) {
      if (this.#known.has(idOf(event))) continue;
      const { stream, revision } = event;
      const { first, last } = missing.get(stream) ?? { first: revision, last: revision };
      missing.set(stream, { first: Math.min(first, revision), last: Math.max(last, revision) });
    }
    for (const [stream, { first, last }] of missing) {
      for await (const event of this.#store.readStream(stream, { from: first })) {
        this.#known.set(idOf(event), event);
        if (event.revision >= last) break;
      }
    }
    return parked.map((event) => {
      const stored = this.#known.get(idOf(event));
      if (!stored) throw new LogDamaged(`${event.stream} lacks event ${event.revision}, which is parked`);
      return { ...stored, position: event.position };
    });
  }
}
