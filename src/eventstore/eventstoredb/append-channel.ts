/**
 * Appends, many at a time over one BatchAppend call. Each ends in one of these ways, within its deadline:
 *   stored       the server's answer
 *   conflict     the server's answer
 *   too large    found before sending, or the server's answer
 *   unknown      no answer in time, the call ended (by an error or normally), the server says timeout, not ready, too
 *                busy, not the leader, or what this code does not know. Whoever asked asks again with the same ids
 *                and revision; the server then finds what is stored, or stores it.
 *
 *   call:  none → opening → open → (error, end, an append unanswered though nothing else was answered either) → none
 *
 * An answer that nobody waits for (late, or the second) is ignored.
 */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import type {
  BatchAppendReq,
  BatchAppendReq_ProposedMessage,
  BatchAppendResp,
} from '../../gen/event_store/client/streams.ts';
import type { Append } from '../check-append.ts';
import type { Alarm, Edges } from '../edges.ts';
import { EventStoreUnavailable } from '../port.ts';
import { type AppendAnswer, readAnswer, requestOf } from './append-messages.ts';
import type { ConnectedCall, Connection } from './connection.ts';
import { unavailable } from './errors.ts';
import { encodeEvents } from './events.ts';

type Batches = ClientDuplexStream<BatchAppendReq, BatchAppendResp>;

interface Pending {
  readonly resolve: (answer: AppendAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly alarm: Alarm;
  /** How many answers had come when it was sent. */
  readonly answersBefore: number;
}

export class AppendChannel {
  readonly #connection: Connection;
  readonly #edges: Edges;
  readonly #deadline: number;
  #call: CurrentCall | undefined;
  readonly #underWay = new Set<Promise<unknown>>();

  /** `deadline`: milliseconds after which an append counts as unknown. */
  constructor(connection: Connection, edges: Edges, deadline: number) {
    this.#connection = connection;
    this.#edges = edges;
    this.#deadline = deadline;
  }

  /** `name`: of the stream, as the server knows it. Rejects with EventStoreUnavailable, AppendTooLarge, StreamTombstoned. */
  async append(name: string, append: Append): Promise<AppendAnswer> {
    const messages = encodeEvents(append.events);
    const answer = this.#currentCall().append(name, append, messages);
    this.#underWay.add(answer);
    try {
      return await answer;
    } finally {
      this.#underWay.delete(answer);
    }
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  close(): void {
    this.#call?.abandon(new EventStoreUnavailable('The event store is closed'));
  }

  #currentCall(): CurrentCall {
    if (!this.#call || this.#call.ended) {
      this.#call = new CurrentCall(this.#connection, this.#edges, this.#deadline);
    }
    return this.#call;
  }
}

/** A BatchAppend call, from its opening to its end. */
class CurrentCall {
  readonly #connection: Connection;
  readonly #edges: Edges;
  readonly #deadline: number;
  readonly #opening: Promise<ConnectedCall<Batches>>;
  readonly #pending = new Map<string, Pending>();
  #answers = 0;
  ended = false;

  constructor(connection: Connection, edges: Edges, deadline: number) {
    this.#connection = connection;
    this.#edges = edges;
    this.#deadline = deadline;
    this.#opening = connection.open((streams, metadata, options) => {
      const call = streams.batchAppend(metadata, options);
      // From the very start: an error that nobody listens for ends the process.
      call.on('error', () => undefined);
      return call;
    }, true);
    this.#opening.then((opened) => this.#listen(opened)).catch((error: unknown) => this.#end(error));
  }

  async append(
    name: string,
    append: Append,
    messages: BatchAppendReq_ProposedMessage[],
  ): Promise<AppendAnswer> {
    const { call } = await this.#opening;
    if (this.ended) throw new EventStoreUnavailable('EventStoreDB: the call for appends has ended');
    return new Promise((resolve, reject) => {
      const id = this.#edges.newId();
      const alarm = this.#edges.alarm(this.#deadline, () => this.#tooLate(id));
      this.#pending.set(id, { resolve, reject, alarm, answersBefore: this.#answers });
      call.write(requestOf(id, name, append, messages, this.#deadline));
    });
  }

  /** Gives up what is pending and the call itself. */
  abandon(error: EventStoreUnavailable): void {
    this.#opening.then(
      ({ call }) => call.cancel(),
      () => undefined,
    );
    this.#end(error);
  }

  #listen({ call, failed, gaveUp }: ConnectedCall<Batches>): void {
    call.on('data', (response: BatchAppendResp) => this.#answer(response));
    call.on('error', (error: Error) => {
      if (this.ended) return;
      void failed(error);
      gaveUp();
      this.#end(error);
    });
    call.on('end', () => {
      gaveUp();
      this.#end(new EventStoreUnavailable('EventStoreDB: the server ended the call for appends'));
      call.cancel();
    });
  }

  #answer(response: BatchAppendResp): void {
    this.#answers++;
    this.#connection.answered();
    const id = response.correlationId?.value;
    const pending = id?.$case === 'string' && this.#take(id.value);
    if (!pending) return;
    try {
      pending.resolve(readAnswer(response));
    } catch (error) {
      pending.reject(error instanceof Error ? error : unavailable(error));
    }
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.alarm.stop();
    return pending;
  }

  #tooLate(id: string): void {
    const pending = this.#take(id);
    const error = new EventStoreUnavailable(
      `EventStoreDB: no answer to an append within ${this.#deadline} ms`,
    );
    pending?.reject(error);
    // Nothing at all has come since: the call, or the node, is dead.
    if (pending?.answersBefore !== this.#answers) return;
    this.#opening.then(
      ({ gaveUp }) => gaveUp(),
      () => undefined,
    );
    this.abandon(error);
  }

  #end(reason: unknown): void {
    this.ended = true;
    const error = unavailable(reason);
    for (const id of this.#pending.keys()) this.#take(id)?.reject(error);
  }
}
