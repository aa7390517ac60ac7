/** The whole domain in memory, and the log that an installation would have of it. */
import { v5 as uuidv5 } from 'uuid';
import { encodeEvent } from '../../../src/domain/codec.ts';
import type { DomainEvent } from '../../../src/domain/events.ts';
import type { Position, RecordedEvent } from '../../../src/eventstore/port.ts';
import { House } from '../../domain/house.ts';
import { at } from './tables.ts';

const namespace = '9b0f7a55-6f0d-4c0e-9d8a-0d4b1d8b9a51';

export class LoggedHouse extends House {
  readonly log: RecordedEvent[] = [];
  readonly #ids = new Map<DomainEvent, string>();
  readonly #lengths = new Map<string, number>();

  override onEvent = (stream: string, event: DomainEvent, cause: DomainEvent | undefined): void => {
    const revision = this.#lengths.get(stream) ?? 0;
    const id = uuidv5(`${stream} ${revision}`, namespace);
    const $causationId = cause && this.#ids.get(cause);
    this.#ids.set(event, id);
    this.#lengths.set(stream, revision + 1);
    this.log.push({
      id,
      stream,
      revision,
      position: at(this.log.length + 1),
      recordedAt: new Date(0),
      ...encodeEvent(event),
      metadata: JSON.stringify({ requestId: id, $causationId, $correlationId: id }),
    });
  };

  head(): Position {
    return at(this.log.length);
  }

  async *readStream(
    stream: string,
    { from = 0 }: { readonly from?: number } = {},
  ): AsyncIterable<RecordedEvent> {
    await Promise.resolve();
    yield* this.log.filter((event) => event.stream === stream && event.revision >= from);
  }
}
