/** What policies must have had carried out: worked out from the log alone. */
import { v5 as uuidv5 } from 'uuid';
import { decodeEvent, eventTypeOf } from '../../src/domain/codec.ts';
import type { DomainEvent, EventType } from '../../src/domain/events.ts';
import { orderRebate } from '../../src/domain/policies/order-rebate.ts';
import { orderStock } from '../../src/domain/policies/order-stock.ts';
import type { Policy } from '../../src/domain/policies/policy.ts';
import { programmeAggregate } from '../../src/domain/programme/index.ts';
import type { ProgrammeState } from '../../src/domain/programme/state.ts';
import { programmeStream } from '../../src/domain/streams.ts';
import { comparePositions, type Position } from '../../src/eventstore/port.ts';
import type { CarriedOut } from './commands.ts';
import type { Log } from './log.ts';

export const policies: readonly Policy[] = [orderRebate, orderStock];

interface Due {
  readonly stream: string;
  readonly requestId: string;
}

export class PolicyOracle {
  readonly #policy: Policy;
  readonly #log: Log;
  readonly #programmes = new Map<string, ProgrammeState>();
  readonly #due: Due[] = [];
  #next = 0;

  constructor(policy: Policy, log: Log) {
    this.#policy = policy;
    this.#log = log;
  }

  /** What must have been carried out, and was not, when the policy is done with everything up to a position. */
  missing(to: Position, carriedOut: CarriedOut): readonly Due[] {
    const before = this.#due.length;
    this.#advance(to);
    return this.#due.slice(before).filter(({ requestId }) => !carriedOut.has(requestId));
  }

  /** Everything it ever asks for, by stream, in the order of the log. */
  inOrder(): ReadonlyMap<string, readonly string[]> {
    this.#advance(this.#log.end);
    const byStream = new Map<string, string[]>();
    for (const { stream, requestId } of this.#due)
      byStream.set(stream, [...(byStream.get(stream) ?? []), requestId]);
    return byStream;
  }

  #advance(to: Position): void {
    for (;;) {
      const recorded = this.#log.events[this.#next];
      if (!recorded || comparePositions(recorded.position, to) > 0) return;
      this.#next++;
      const type = eventTypeOf(recorded.type);
      if (type === undefined) continue;
      const event = decodeEvent(recorded);
      if (isOfProgramme(event)) {
        const before = this.#programmes.get(recorded.stream) ?? programmeAggregate.initial();
        this.#programmes.set(recorded.stream, programmeAggregate.evolve(before, event));
      }
      if (this.#policy.handles.includes(type)) this.#react(event, recorded.stream, recorded.id);
    }
  }

  #react(event: DomainEvent, from: string, eventId: string): void {
    const { name } = this.#policy;
    const merchant = this.#policy.programmeOf(event);
    const known = merchant === undefined ? undefined : this.#programmes.get(programmeStream(merchant));
    const programme = known ?? programmeAggregate.initial();
    for (const [index, { stream }] of this.#policy.react(event, { programme }).entries())
      this.#due.push({ stream, requestId: uuidv5(`${name}/${index}/${from}`, eventId) });
  }
}

const ofProgramme: readonly EventType[] = ['RuleSetPublished', 'RuleSetRetired'];

const isOfProgramme = (event: DomainEvent): event is DomainEvent<'RuleSetPublished' | 'RuleSetRetired'> =>
  ofProgramme.includes(event.type);
