/** Programmes as they stood at any position of the log, for policies: asked again, the answer is the same. */
import type { DomainEvent } from '../domain/events.ts';
import { decodeEvent } from '../domain/codec.ts';
import { programmeAggregate } from '../domain/programme/index.ts';
import type { ProgrammeState } from '../domain/programme/state.ts';
import { programmeStream } from '../domain/streams.ts';
import { comparePositions, type EventStore, type Position, type RecordedEvent } from '../eventstore/port.ts';

interface Known {
  readonly events: RecordedEvent[];
  /** Folded over all of `events`; undefined when that has yet to be done. */
  latest: ProgrammeState | undefined;
}

export class ProgrammeHistory {
  readonly #store: EventStore;
  readonly #known = new Map<string, Known>();

  constructor(store: EventStore) {
    this.#store = store;
  }

  /** The reader of the log calls this for every event it passes, in order: a programme's list stays complete. */
  note(recorded: RecordedEvent): void {
    const known = this.#known.get(recorded.stream);
    const last = known?.events.at(-1);
    if (!known || (last && last.revision >= recorded.revision)) return;
    known.events.push(recorded);
    known.latest = undefined;
  }

  /** The merchant's programme with every event up to and including `position`, and none after it. */
  async asOf(merchant: string, position: Position): Promise<ProgrammeState> {
    const stream = programmeStream(merchant);
    let known = this.#known.get(stream);
    if (!known) {
      known = { events: [], latest: undefined };
      for await (const recorded of this.#store.readStream(stream)) known.events.push(recorded);
      this.#known.set(stream, known);
    }
    const last = known.events.at(-1);
    if (last && comparePositions(last.position, position) > 0) {
      return fold(known.events.filter((e) => comparePositions(e.position, position) <= 0));
    }
    known.latest ??= fold(known.events);
    return known.latest;
  }
}

const fold = (events: readonly RecordedEvent[]): ProgrammeState =>
  events.reduce(
    (state, recorded) =>
      programmeAggregate.evolve(
        state,
        decodeEvent(recorded) as DomainEvent<'RuleSetPublished' | 'RuleSetRetired'>,
      ),
    programmeAggregate.initial(),
  );
